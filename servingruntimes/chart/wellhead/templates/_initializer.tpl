{{/* The init container, wherever it runs, without variables: what KServe merges with what it knows itself. */}}
{{- define "wellhead.initializer" -}}
name: storage-initializer
{{ include "wellhead.image" (dict "root" . "name" "initializer") }}
resources:
  {{- toYaml .Values.initializer.resources | nindent 2 }}
{{ include "wellhead.securityContext" . }}
terminationMessagePolicy: FallbackToLogsOnError
{{- end }}
