{{/* Names, labels, images and addresses. Pods that plan/platform.py also makes carry the very same labels. */}}

{{- define "umiak.own" -}}
app.kubernetes.io/name: umiak
app.kubernetes.io/managed-by: umiak-operator
app.kubernetes.io/instance: umiak
umiak.dev/component: {{ . }}
{{- end }}

{{/* Metadata labels of an object of the chart: (list $ component). */}}
{{- define "umiak.labels" -}}
{{- $root := index . 0 -}}
{{ include "umiak.own" (index . 1) }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image reference: (list $ image). A digest wins over a tag. */}}
{{- define "umiak.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := default $root.Values.image.registry $image.registry | trimSuffix "/" -}}
{{- $name := ternary (printf "%s/%s" $registry $image.repository) $image.repository (ne $registry "") -}}
{{- if $image.digest -}}
{{ printf "%s@%s" $name $image.digest }}
{{- else -}}
{{ printf "%s:%s" $name (default (default $root.Chart.AppVersion $root.Values.image.tag) $image.tag) }}
{{- end -}}
{{- end }}

{{- define "umiak.keysSecret" -}}
{{ default "umiak-keys" .Values.keys.existingSecret }}
{{- end }}

{{/* The Secret of the certificate that gateway and broker show; nothing without TLS, or without either of them. */}}
{{- define "umiak.tlsSecret" -}}
{{- if and (not .Values.tls.insecure) (or .Values.gateway.enabled .Values.broker.enabled) }}{{ default "umiak-tls" .Values.tls.existingSecret }}{{ end -}}
{{- end }}

{{/* Whether the installation makes that certificate: true or nothing. */}}
{{- define "umiak.makesTls" -}}
{{- if and (include "umiak.tlsSecret" .) (not .Values.tls.existingSecret) }}true{{ end -}}
{{- end }}

{{/* The port that edges dial: (list $ "gateway"|"broker" port-with-TLS port-without). */}}
{{- define "umiak.servicePort" -}}
{{- $root := index . 0 -}}
{{- $service := (index $root.Values (index . 1)).service -}}
{{- if $service.port }}{{ $service.port }}{{ else if $root.Values.tls.insecure }}{{ index . 3 }}{{ else }}{{ index . 2 }}{{ end -}}
{{- end }}

{{- define "umiak.outsidePort" -}}
{{- $root := index . 0 -}}
{{- $service := (index $root.Values (index . 1)).service -}}
{{- if eq $service.type "NodePort" }}{{ $service.nodePort }}{{ else }}{{ include "umiak.servicePort" . }}{{ end -}}
{{- end }}

{{/* scheme://host[:port] of the gateway as edges see it. */}}
{{- define "umiak.gatewayUrl" -}}
{{- $scheme := ternary "http" "https" .Values.tls.insecure -}}
{{- $port := include "umiak.outsidePort" (list . "gateway" 443 80) -}}
{{- $plain := or (and (eq $scheme "https") (eq $port "443")) (and (eq $scheme "http") (eq $port "80")) -}}
{{- printf "%s://%s" $scheme .Values.outside.host }}{{ if not $plain }}:{{ $port }}{{ end -}}
{{- end }}

{{- define "umiak.hubUrl" -}}
{{ default (printf "%s/hub" (include "umiak.gatewayUrl" .)) .Values.outside.hubUrl }}
{{- end }}

{{- define "umiak.cloudUrl" -}}
{{ default (printf "%s/cloud" (include "umiak.gatewayUrl" .)) .Values.outside.cloudUrl }}
{{- end }}

{{- define "umiak.brokerUrl" -}}
{{- $scheme := ternary "mqtt" "mqtts" .Values.tls.insecure -}}
{{ default (printf "%s://%s:%s" $scheme .Values.outside.host (include "umiak.outsidePort" (list . "broker" 8883 1883))) .Values.outside.brokerUrl }}
{{- end }}

{{- define "umiak.insideHubUrl" -}}
http://umiak-hub.{{ .Release.Namespace }}.svc:8800
{{- end }}
