{{/* What every vLLM instance is told alike, whatever starts it: arguments, variables, shared memory. */}}

{{/* What services without an annotation do: stream, download, or nothing, which means auto. */}}
{{- define "wellhead.mode" -}}
{{- if .Values.mode -}}
{{- .Values.mode | eq "auto" | ternary "" .Values.mode -}}
{{- else if and .Values.loadFormat (ne .Values.loadFormat "auto") -}}
{{- .Values.loadFormat | eq "runai_streamer" | ternary "stream" "download" -}}
{{- end -}}
{{- end }}

{{/* The extra config as compact JSON, or nothing; text that is no JSON object is refused in checks.yaml. */}}
{{- define "wellhead.extraConfig" -}}
{{- $config := .Values.modelLoaderExtraConfig -}}
{{- if kindIs "string" $config -}}
{{- $config = $config | trim | empty | ternary dict (fromJson $config) -}}
{{- end -}}
{{- with $config -}}{{ mustToRawJson . }}{{- end -}}
{{- end }}

{{/* vLLM's arguments as a JSON list under `arguments`. */}}
{{- define "wellhead.arguments" -}}
{{- $arguments := list -}}
{{- if and .Values.loadFormat (ne .Values.loadFormat "auto") -}}
{{- $arguments = append $arguments (printf "--load-format=%s" .Values.loadFormat) -}}
{{- end -}}
{{- with include "wellhead.extraConfig" . -}}
{{- $arguments = append $arguments (printf "--model-loader-extra-config=%s" .) -}}
{{- end -}}
{{- dict "arguments" (concat $arguments .Values.extraArgs) | mustToRawJson -}}
{{- end }}

{{/* The same as one line for a shell: KServe's script for LLMInferenceServices evaluates it. */}}
{{- define "wellhead.shellWords" -}}
{{- $words := list -}}
{{- range (include "wellhead.arguments" . | fromJson).arguments -}}
{{- $quoted := printf "'%s'" (. | replace "'" `'\''`) -}}
{{- $words = append $words (regexMatch `^[A-Za-z0-9_@%+=:,./-]+$` . | ternary . $quoted) -}}
{{- end -}}
{{- join " " $words -}}
{{- end }}

{{/* The volume of shared memory. Takes root and the volume's name. */}}
{{- define "wellhead.sharedMemory" -}}
- name: {{ .name }}
  emptyDir:
    medium: Memory
    {{- with .root.Values.sharedMemorySize }}
    sizeLimit: {{ . }}
    {{- end }}
{{- end }}
