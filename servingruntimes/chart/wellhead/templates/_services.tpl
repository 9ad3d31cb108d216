{{/* What components say of the InferenceServices of the release. */}}

{{/* The names of the stores' components that are on, as a JSON list; more than one is refused in checks.yaml. */}}
{{- define "wellhead.stores" -}}
{{- $on := list -}}
{{- range list "s3Static" "s3Irsa" "gcsWorkloadIdentity" "azureWorkloadIdentity" -}}
{{- if (index $.Values.components .).enabled -}}{{- $on = append $on . -}}{{- end -}}
{{- end -}}
{{- $on | toJson -}}
{{- end }}

{{/* Metadata of an object in the release's namespace. Takes root and name. */}}
{{- define "wellhead.namespacedMetadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "wellhead.helmLabels" .root | nindent 2 }}
{{- end }}

{{/* The annotation that names the certificates, where they are on. */}}
{{- define "wellhead.caAnnotation" -}}
{{- if .Values.components.privateCa.enabled -}}
serving.kserve.io/s3-cabundle-configmap: global-ca-bundle
{{- end -}}
{{- end }}

{{/* The predictor of a service with what the components add, as YAML. Takes root and predictor. */}}
{{- define "wellhead.predictor" -}}
{{- $components := .root.Values.components -}}
{{- $predictor := deepCopy .predictor -}}
{{- range include "wellhead.stores" .root | fromJsonArray -}}
{{- $_ := set $predictor "serviceAccountName" (index $components .).name -}}
{{- end -}}
{{- if $components.azureWorkloadIdentity.enabled -}}
{{- $_ := set $predictor "labels" (merge (dict "azure.workload.identity/use" "true") ($predictor.labels | default dict)) -}}
{{- end -}}
{{- with $components.compileCache -}}
{{- if and .enabled $predictor.model -}}
{{- $claim := dict "claimName" (.existingClaim | default .name) -}}
{{- $volume := dict "name" "compile-cache" "persistentVolumeClaim" $claim -}}
{{- $mount := dict "name" "compile-cache" "mountPath" "/var/cache/wellhead" -}}
{{- $_ := set $predictor "volumes" (append ($predictor.volumes | default list) $volume) -}}
{{- $_ := set $predictor.model "volumeMounts" (append ($predictor.model.volumeMounts | default list) $mount) -}}
{{- with .fsGroup -}}
{{- $group := dict "fsGroup" . "fsGroupChangePolicy" "OnRootMismatch" -}}
{{- $_ := set $predictor "securityContext" (merge $group ($predictor.securityContext | default dict)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $predictor -}}
{{- end }}
