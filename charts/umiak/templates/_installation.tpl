{{/* The container that makes keys and certificate and writes the Secrets of hub and signer; run again it changes nothing. */}}
{{- define "umiak.installation" -}}
{{ include "umiak.container" (list $ .Values.operator.image) }}
command:
- python3
- -m
- umiak_operators.cli.installation
- --platform=/etc/umiak/platform.yaml
- --namespace={{ .Release.Namespace }}
- --keys={{ include "umiak.keysSecret" . }}
{{- if not .Values.keys.existingSecret }}
- --make-keys
{{- end }}
{{- with include "umiak.tlsSecret" . }}
- --tls={{ . }}
{{- end }}
{{- if include "umiak.makesTls" . }}
- --make-tls
{{- end }}
- --out=/run/umiak
resources:
  {{- toYaml .Values.operator.resources | nindent 2 }}
volumeMounts:
- {name: platform, mountPath: /etc/umiak, readOnly: true}
- {name: told, mountPath: /run/umiak}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{/* Its volumes. */}}
{{- define "umiak.told" -}}
- name: platform
  configMap: {name: umiak-platform}
- name: told
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- {name: tmp, emptyDir: {}}
{{- end }}
