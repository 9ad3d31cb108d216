{{/* What the schema cannot know about load formats, arguments and variables: one sentence a line, each with the way out. */}}

{{- define "wellhead.problems.loading" -}}
{{- $mode := .Values.mode -}}
{{- $format := .Values.loadFormat | eq "auto" | ternary "" .Values.loadFormat -}}
{{- if and (eq $mode "download") (eq $format "runai_streamer") }}
mode "download" contradicts loadFormat "runai_streamer", which streams: drop one of the two. (A service whose downloaded files the streamer shall read says --load-format=runai_streamer in its own args.)
{{- else if and $format (ne $format "runai_streamer") (has $mode (list "auto" "stream")) }}
mode {{ $mode | quote }} contradicts loadFormat {{ $format | quote }}: what is streamed is read by runai_streamer and nothing else. Set mode to "download", or drop one of the two.
{{- end }}
{{- if and .Values.components.isolated.enabled (eq (include "wellhead.mode" .) "download") }}
{{ $mode | empty | ternary (printf "loadFormat %q" $format) `mode "download"` }} has no effect with components.isolated, whose scheme runai_streamer:// always streams: drop one of the two.
{{- end }}
{{- with .Values.modelLoaderExtraConfig }}
{{- $config := kindIs "string" . | ternary (toString . | fromJson) . }}
{{- if $config.Error }}
modelLoaderExtraConfig is not a JSON object ({{ $config.Error }}): write {"concurrency": 16}, or YAML without quotes around it.
{{- else if not $format }}
modelLoaderExtraConfig has keys that one load format knows and the others refuse when vLLM starts: name that format in loadFormat, such as runai_streamer.
{{- else }}
{{- include "wellhead.problems.extraConfig" (dict "format" $format "config" $config) }}
{{- end }}
{{- end }}
{{- end }}

{{/* vLLM's own checks, which would end the server. Takes format and config. */}}
{{- define "wellhead.problems.extraConfig" -}}
{{- $streamer := dict "distributed" "true or false" "concurrency" "a whole number" "memory_limit" "a whole number" -}}
{{- $sharded := dict "pattern" "a text" -}}
{{- $formats := dict "runai_streamer" $streamer "runai_streamer_sharded" $sharded "sharded_state" $sharded -}}
{{- $known := index $formats .format -}}
{{- if $known -}}
{{- $format := .format -}}
{{- range $key, $value := .config }}
{{- if not (hasKey $known $key) }}
modelLoaderExtraConfig.{{ $key }} is unknown to loadFormat {{ $format | quote }}: known are {{ keys $known | sortAlpha | join ", " }}.
{{- else if ne (index $known $key) (include "wellhead.kind" $value) }}
modelLoaderExtraConfig.{{ $key }} has to be {{ index $known $key }}, not {{ toJson $value }}.
{{- end }}
{{- end }}
{{- end -}}
{{- end }}

{{- define "wellhead.kind" -}}
{{- if kindIs "bool" . -}}true or false
{{- else if kindIs "string" . -}}a text
{{- else if and (regexMatch "^(int|float)" (kindOf .)) (eq (float64 .) (floor .)) -}}a whole number
{{- else -}}something else
{{- end -}}
{{- end }}

{{/* Arguments that are stated elsewhere, or that would break both kinds of services. */}}
{{- define "wellhead.problems.arguments" -}}
{{- $elsewhere := dict "--load-format" "loadFormat" "--model-loader-extra-config" "modelLoaderExtraConfig" -}}
{{- $fixed := list "--model" "--port" "--served-model-name" "--headless" -}}
{{- range .Values.extraArgs }}
{{- $option := splitList "=" . | first | splitList "." | first | replace "_" "-" }}
{{- with index $elsewhere $option }}
extraArgs has {{ $option }}: state it in {{ . }}.
{{- end }}
{{- if has $option $fixed }}
extraArgs has {{ $option }}, which KServe and Wellhead set for each service: leave it out.
{{- end }}
{{- include "wellhead.problems.placeholder" (dict "where" "extraArgs" "text" .) }}
{{- end }}
{{- end }}

{{/* KServe renders what it finds between double braces, with other names in runtimes than in LLM configs. */}}
{{- define "wellhead.problems.placeholder" -}}
{{- if contains "{{" .text }}
{{ .where }} has "{{ "{{" }}" in it: KServe would take what follows for a placeholder of its own. Put it into the args or env of the service.
{{- end }}
{{- end }}

{{/* Variables that are stated elsewhere, refused by KServe, or named twice. */}}
{{- define "wellhead.problems.variables" -}}
{{- $ours := dict "HOME" "" "WELLHEAD_CACHE_DIR" "" "WELLHEAD_ENGINE" "" "WELLHEAD_MODE" "mode" "VLLM_ADDITIONAL_ARGS" "extraArgs" "VLLM_CPU_KVCACHE_SPACE" "runtimes.cpu.kvCacheGiB" -}}
{{- include "wellhead.problems.environment" (dict "where" "extraEnv" "variables" .Values.extraEnv "ours" $ours) }}
{{- $ours := dict "WELLHEAD_ENGINE" "" "WELLHEAD_MODE" "mode" "WELLHEAD_LOADER" "" "WELLHEAD_LOG_FORMAT" "" "WELLHEAD_MANIFEST" "" -}}
{{- include "wellhead.problems.environment" (dict "where" "initializer.extraEnv" "variables" .Values.initializer.extraEnv "ours" $ours) }}
{{- if and .Values.initializer.extraEnv .Values.components.isolated.enabled }}
initializer.extraEnv cannot go with components.isolated: KServe before 0.20 merges variables by position, which breaks pods that get credentials. Leave it empty.
{{- end }}
{{- end }}

{{/* Takes where, variables, and ours: names that the chart sets, with the value that states them. */}}
{{- define "wellhead.problems.environment" -}}
{{- $seen := dict }}
{{- range .variables }}
{{- if hasKey $.ours .name }}
{{ $.where }} has {{ .name }}, which the chart sets itself: {{ index $.ours .name | empty | ternary "leave it out" (printf "state it in %s" (index $.ours .name)) }}.
{{- else if eq .name "PYTHONPATH" }}
{{ $.where }} has PYTHONPATH, which KServe refuses in every runtime and service: leave it out.
{{- else if hasKey $seen .name }}
{{ $.where }} has {{ .name }} twice: name it once.
{{- end }}
{{- $_ := set $seen .name true }}
{{- include "wellhead.problems.placeholder" (dict "where" (printf "%s.%s" $.where .name) "text" (.value | default "")) }}
{{- end }}
{{- end }}
