{{/* What all pods have in common; each is admitted at PodSecurity `restricted`. */}}

{{/* The head of a pod spec: (list $ component-values mounts-a-service-account-token). */}}
{{- define "umiak.pod" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
automountServiceAccountToken: {{ index . 2 }}
enableServiceLinks: false
terminationGracePeriodSeconds: 10
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
affinity:
  {{- mergeOverwrite (include "umiak.offEdges" $root | fromYaml) (deepCopy $part.affinity) | toYaml | nindent 2 }}
{{- with $part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "umiak.offEdges" -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
    - matchExpressions:
      - {key: node-role.kubernetes.io/edge, operator: DoesNotExist}
{{- end }}

{{/* Image and rights of a container: (list $ image). It may write only where a volume is mounted. */}}
{{- define "umiak.container" -}}
image: {{ include "umiak.image" . | quote }}
imagePullPolicy: {{ (index . 0).Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* A worker of plan/platform.py: (list $ role values settled-config). Its Secret is the operator's to write. */}}
{{- define "umiak.worker" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $part := index . 2 -}}
{{- $database := dig "database" "existingSecret" "" $part -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: umiak-{{ $role }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "umiak.labels" (list $root $role) | nindent 4 }}
spec:
  replicas: 1
  revisionHistoryLimit: 1
  strategy: {type: Recreate}
  selector:
    matchLabels:
      {{- include "umiak.own" $role | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "umiak.own" $role | nindent 8 }}
      annotations:
        umiak.dev/template-hash: {{ index . 3 | sha256sum | trunc 10 | quote }}
    spec:
      {{- include "umiak.pod" (list $root $part false) | nindent 6 }}
      containers:
      - name: {{ $role }}
        {{- include "umiak.container" (list $root $part.image) | nindent 8 }}
        command: [python3, -m, umiak_workers.{{ $role }}, --config, /etc/umiak/config.json, --state, /var/lib/umiak]
        resources:
          {{- toYaml $part.resources | nindent 10 }}
        {{- if eq $role "hub" }}
        ports:
        - {name: http, containerPort: 8800, protocol: TCP}
        readinessProbe:
          exec: {command: [python3, -m, umiak_workers.probe, --config, /etc/umiak/config.json]}
          periodSeconds: 10
          timeoutSeconds: 5
          failureThreshold: 3
        {{- end }}
        volumeMounts:
        - {name: config-{{ $role }}, mountPath: /etc/umiak, readOnly: true}
        {{- if $database }}
        - {name: database, mountPath: /etc/umiak-database, readOnly: true}
        {{- end }}
        - {name: state, mountPath: /var/lib/umiak}
        - {name: tmp, mountPath: /tmp}
      volumes:
      - name: config-{{ $role }}
        secret:
          secretName: umiak-{{ $role }}
          defaultMode: 0440
          items:
          - {key: endpoints.json, path: endpoints.json}
          - {key: {{ $role }}.json, path: config.json}
          - {key: {{ $role }}.token, path: token}
          - {key: {{ index . 4 }}, path: {{ index . 4 }}}
      {{- with $database }}
      # Somebody else keeps it: the URL holds a password.
      - name: database
        secret: {secretName: {{ . }}, defaultMode: 0440}
      {{- end }}
      - name: state
        persistentVolumeClaim: {claimName: umiak-{{ $role }}}
      - {name: tmp, emptyDir: {}}
{{- end }}

{{/* The claim of a worker: (list $ role values). */}}
{{- define "umiak.claim" -}}
{{- $root := index . 0 -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: umiak-{{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "umiak.labels" (list $root (index . 1)) | nindent 4 }}
  {{- if $root.Values.keep.state }}
  annotations: {helm.sh/resource-policy: keep}
  {{- end }}
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests: {storage: {{ (index . 2).persistence.size }}}
  {{- with $root.Values.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
{{- end }}
