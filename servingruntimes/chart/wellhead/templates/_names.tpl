{{/* Labels that Helm's conventions ask for, on top of kustomize's. */}}
{{- define "wellhead.helmLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{/* Labels of storage containers and runtimes. Takes root and component. */}}
{{- define "wellhead.labels" -}}
app.kubernetes.io/name: wellhead
app.kubernetes.io/part-of: wellhead
app.kubernetes.io/component: {{ .component }}
{{ include "wellhead.helmLabels" .root }}
{{- end }}

{{/* Image and pull policy of a container. Takes root and the name under `images`. */}}
{{- define "wellhead.image" -}}
{{- $image := index .root.Values.images .name -}}
{{- $reference := $image.digest | empty | ternary (printf ":%s" ($image.tag | default .root.Chart.AppVersion)) (printf "@%s" $image.digest) -}}
image: {{ list .root.Values.images.registry $image.repository | compact | join "/" }}{{ $reference }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end }}

{{/* Of pods: where they run, and with which registry credentials. Takes root and values (nodeSelector, …). */}}
{{- define "wellhead.scheduling" -}}
{{- range $field := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $.values $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "wellhead.securityContext" -}}
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
{{- end }}
