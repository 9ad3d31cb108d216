{{/* What the runtimes have in common. */}}

{{- define "wellhead.runtimeKind" -}}
{{ .Values.components.namespaced.enabled | ternary "ServingRuntime" "ClusterServingRuntime" }}
{{- end }}

{{/* Takes root, name, display (what OpenShift AI's dashboard shows) and accelerators. */}}
{{- define "wellhead.runtimeMetadata" -}}
name: {{ .name }}
{{- if .root.Values.components.namespaced.enabled }}
namespace: {{ .root.Release.Namespace }}
{{- end }}
labels:
  {{- include "wellhead.labels" (dict "root" .root "component" "model-server") | nindent 2 }}
{{- if .root.Values.components.openshift.enabled }}
  opendatahub.io/dashboard: "true"
annotations:
  openshift.io/display-name: {{ .display | quote }}
  opendatahub.io/apiProtocol: REST
  {{- with .accelerators }}
  opendatahub.io/recommended-accelerators: {{ . | toJson | quote }}
  {{- end }}
  {{- if and (eq .name "wellhead-vllm") .root.Values.components.openshift.runtimeVersion }}
  opendatahub.io/runtime-version: {{ .root.Values.components.openshift.runtimeVersion | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Annotations and labels of the pods. */}}
{{- define "wellhead.podMetadata" -}}
{{- $components := .Values.components -}}
annotations:
  wellhead.dev/engine: vllm
  {{- with include "wellhead.mode" . }}
  wellhead.dev/mode: {{ . }}
  {{- end }}
  prometheus.io/scrape: "true"
  prometheus.io/port: "8080"
  prometheus.io/path: /metrics
  {{- if include "wellhead.pinned" . }}
  internal.serving.kserve.io/storage-container-name: wellhead
  {{- end }}
  {{- if $components.openshift.enabled }}
  opendatahub.io/kserve-runtime: vllm
  {{- end }}
labels:
  app.kubernetes.io/part-of: wellhead
{{- end }}

{{/* Not where there is no storage container for every URI. */}}
{{- define "wellhead.pinned" -}}
{{- $components := .Values.components -}}
{{- if and $components.pinStorageContainer.enabled (not (or $components.isolated.enabled $components.namespaced.enabled)) -}}
yes
{{- end -}}
{{- end }}

{{/* Container, volumes and scheduling. Takes root, image (under `images`), values (of the runtime) and variables. */}}
{{- define "wellhead.server" -}}
containers:
- name: kserve-container
  {{- include "wellhead.image" (dict "root" .root "name" .image) | nindent 2 }}
  command: [wellhead, serve]
  args:
  - --port=8080
  - --served-model-name={{ "{{.Name}}" }}
  - --model=/mnt/models
  {{- with (include "wellhead.arguments" .root | fromJson).arguments }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  env:
  - name: HOME
    value: /home/wellhead
  - name: WELLHEAD_CACHE_DIR
    value: /var/cache/wellhead
  {{- with concat .variables .root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  ports:
  - containerPort: 8080
    name: http1
    protocol: TCP
  resources:
    {{- toYaml .values.resources | nindent 4 }}
  startupProbe:
    httpGet:
      path: /health
      port: 8080
    periodSeconds: 2
    timeoutSeconds: 2
    failureThreshold: 1800
  readinessProbe:
    httpGet:
      path: /health
      port: 8080
    periodSeconds: 5
    timeoutSeconds: 5
    failureThreshold: 3
  livenessProbe:
    httpGet:
      path: /health
      port: 8080
    periodSeconds: 20
    timeoutSeconds: 10
    failureThreshold: 6
  {{- include "wellhead.securityContext" .root | nindent 2 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
  - name: devshm
    mountPath: /dev/shm
  - name: tmp
    mountPath: /tmp
  - name: home
    mountPath: /home/wellhead
  - name: cache
    mountPath: /var/cache/wellhead
volumes:
{{ include "wellhead.sharedMemory" (dict "root" .root "name" "devshm") }}
- name: tmp
  emptyDir: {}
- name: home
  emptyDir: {}
- name: cache
  emptyDir: {}
{{- include "wellhead.scheduling" . }}
{{- end }}
