{{/* Pods of LLMInferenceServices: what lies over KServe's own templates, with placeholders for KServe to fill in. */}}

{{/* Takes root, own (KServe's initializer is off, so the init container is entirely ours) and serves (is there a server). */}}
{{- define "wellhead.llmPod" -}}
{{- $settings := "{{ .ObjectMeta.Name }}-wellhead" -}}
initContainers:
- {{ include "wellhead.initializer" .root | nindent 2 | trim }}
  {{- if .own }}
  args: ["{{ "{{ .Spec.Model.URI }}" }}", /mnt/models]
  {{- end }}
  env:
  - name: WELLHEAD_ENGINE
    value: vllm
  - name: WELLHEAD_MODE
    value: {{ include "wellhead.llmMode" .root | quote }}
  - name: WELLHEAD_LOADER
    value: {{ include "wellhead.llmLoader" .root | quote }}
  {{- with .root.Values.initializer.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  envFrom:
  - configMapRef:
      name: {{ $settings | quote }}
      optional: true
  {{- if .own }}
  - secretRef:
      name: {{ $settings | quote }}
      optional: true
  volumeMounts:
  - name: model
    mountPath: /mnt/models
  - name: wellhead-credentials
    mountPath: /var/secrets/wellhead
    readOnly: true
  {{- end }}
containers:
- name: main
  {{- include "wellhead.image" (dict "root" .root "name" "runtime") | nindent 2 }}
  {{- with include "wellhead.llmVariables" .root | fromJsonArray }}
  env:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  envFrom:
  - configMapRef:
      name: {{ $settings | quote }}
      optional: true
  {{- if .serves }}
  startupProbe:
    periodSeconds: 2
    failureThreshold: 1800
  {{- end }}
  terminationMessagePolicy: FallbackToLogsOnError
  {{- if .own }}
  volumeMounts:
  - name: model
    mountPath: /mnt/models
    readOnly: true
  {{- end }}
{{- if or .own .root.Values.sharedMemorySize }}
volumes:
{{- if .own }}
- name: model
  emptyDir: {}
- name: wellhead-credentials
  secret:
    secretName: {{ $settings | quote }}
    optional: true
{{- end }}
{{- if .root.Values.sharedMemorySize }}
{{ include "wellhead.sharedMemory" (dict "root" .root "name" "dshm") }}
{{- end }}
{{- end }}
{{- include "wellhead.scheduling" (dict "root" .root "values" .root.Values.llm) }}
{{- end }}

{{/* The annotation of the service, else the chart's mode. */}}
{{- define "wellhead.llmMode" -}}
{{ "{{ or (index .Spec.Annotations `wellhead.dev/mode`) (index .ObjectMeta.Annotations `wellhead.dev/mode`)" }}
{{- with include "wellhead.mode" . }} `{{ . }}`{{ end }} {{ "}}" }}
{{- end }}

{{/* How streamed weights arrive: the annotation of the service, or nothing, which means auto. */}}
{{- define "wellhead.llmLoader" -}}
{{ "{{ or (index .Spec.Annotations `wellhead.dev/loader`) (index .ObjectMeta.Annotations `wellhead.dev/loader`) }}" }}
{{- end }}

{{/* A JSON list. Arguments travel in a variable of KServe's script, because a service's own `args` would replace ours. */}}
{{- define "wellhead.llmVariables" -}}
{{- $variables := list -}}
{{- with include "wellhead.shellWords" . -}}
{{- $variables = append $variables (dict "name" "VLLM_ADDITIONAL_ARGS" "value" .) -}}
{{- end -}}
{{- concat $variables .Values.extraEnv | mustToRawJson -}}
{{- end }}
