{{- define "umiak.platform" -}}
hub: {{ include "umiak.hubUrl" . }}
cloud: {{ include "umiak.cloudUrl" . }}
broker: {{ include "umiak.brokerUrl" . }}
insideHub: {{ include "umiak.insideHubUrl" . }}
{{- if .Values.broker.enabled }}
insideBroker: mqtt://umiak-broker.{{ .Release.Namespace }}.svc:1883
{{- end }}
images:
{{- range $role := list "operator" "edge" "cloud" "trainer" "hub" "signer" }}
  {{ $role }}: {{ include "umiak.image" (list $ (index $.Values $role).image) | quote }}
{{- end }}
{{- with .Values.tls.ca }}
ca: {{ . | quote }}
{{- end }}
trustedKeys: {{ toJson .Values.keys.alsoTrusted }}
stateVolume: {{ .Values.edge.stateVolume }}
{{- with .Values.storageClass }}
storageClass: {{ . | quote }}
{{- end }}
stateSize: {{ .Values.edge.stateSize }}
{{- with .Values.hub.database }}
{{- if .existingSecret }}
hubDatabase: {existingSecret: {{ .existingSecret | quote }}, key: {{ .key | quote }}}
{{- end }}
{{- end }}
hostPathRoot: {{ .Values.edge.hostPathRoot }}
figuresSeconds: {{ .Values.operator.figuresSeconds }}
{{- end }}
