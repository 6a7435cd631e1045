{{/* What the policies have in common: name servers may be anywhere; the head of a policy: (list $ component). */}}
{{- define "umiak.dns" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}, {port: 5353, protocol: UDP}, {port: 5353, protocol: TCP}]
{{- end }}
{{- define "umiak.policy" -}}
{{- $root := index . 0 -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: umiak-{{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "umiak.labels" . | nindent 4 }}
{{- end }}
