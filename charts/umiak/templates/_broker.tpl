{{/* Two listeners, the same accounts and rules at both. Retained facts are said again by whoever holds them. */}}
{{- define "umiak.mosquitto" -}}
listener 8883
{{- if not .Values.tls.insecure }}
certfile /etc/mosquitto/tls/tls.crt
keyfile /etc/mosquitto/tls/tls.key
tls_version tlsv1.2
{{- end }}
listener 1883
allow_anonymous false
use_username_as_clientid true
password_file /run/umiak/accounts
acl_file /run/umiak/rules
pid_file /run/umiak/mosquitto.pid
persistence false
message_size_limit 1024
max_queued_messages 1000
log_dest stderr
connection_messages false
{{- end }}

{{/* The container that writes accounts: (list $ once). */}}
{{- define "umiak.accounts" -}}
{{- $root := index . 0 -}}
{{ include "umiak.container" (list $root $root.Values.operator.image) }}
command:
- python3
- -m
- umiak_operators.cli.broker_accounts
- --key-file=/etc/umiak/operator.key
- --out=/run/umiak
{{- if index . 1 }}
- --once
{{- end }}
resources:
  requests: {cpu: 10m, memory: 64Mi}
  limits: {memory: 256Mi}
volumeMounts:
- {name: key, mountPath: /etc/umiak, readOnly: true}
- {name: api, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
- {name: accounts, mountPath: /run/umiak}
- {name: tmp, mountPath: /tmp}
{{- end }}
