{{/* Components that exclude each other or lack something: one sentence a line, each with the way out. */}}

{{- define "wellhead.problems.installation" -}}
{{- $on := .Values.components -}}
{{- if and $on.isolated.enabled $on.exclusive.enabled }}
components.isolated and components.exclusive exclude each other: with KServe's own storage container disabled nothing would fetch what is not runai_streamer://. Switch one off.
{{- end }}
{{- if and $on.isolated.enabled $on.namespaced.enabled }}
components.isolated and components.namespaced exclude each other: the one changes the storage container, the other has none. Switch one off.
{{- end }}
{{- if and $on.namespaced.enabled $on.exclusive.enabled }}
components.namespaced and components.exclusive exclude each other: the one is for people without rights in the cluster, the other changes an object of the cluster. Switch one off.
{{- end }}
{{- if and $on.namespaced.enabled .Values.llm.enabled (ne .Values.llm.namespace .Release.Namespace) }}
llm.namespace is {{ .Values.llm.namespace | quote }}, but components.namespaced is for people with rights in {{ .Release.Namespace | quote }} alone: set llm.namespace to that.
{{- end }}
{{- if and $on.exclusive.enabled (not .Values.storageContainer.enabled) }}
components.exclusive disables KServe's storage container, and storageContainer.enabled is false: nobody would fetch models. Switch one of them.
{{- end }}
{{- $runtimes := or .Values.runtimes.gpu.enabled .Values.runtimes.cpu.enabled -}}
{{- if and $runtimes (include "wellhead.pinned" .) (not .Values.storageContainer.enabled) }}
storageContainer.enabled is false, but components.pinStorageContainer lets the runtimes name it, and KServe would refuse their pods. Switch that off, and name a storage container in the services.
{{- end }}
{{- if and $on.autoselect.enabled (not .Values.runtimes.gpu.enabled) }}
components.autoselect chooses wellhead-vllm, but runtimes.gpu.enabled is false: switch one of them.
{{- end }}
{{- if and $on.compileCache.enabled $on.openshift.enabled $on.compileCache.fsGroup }}
components.compileCache.fsGroup is {{ $on.compileCache.fsGroup }}, and OpenShift refuses pods with a group that it has not chosen: set it to 0.
{{- end }}
{{- if and $on.knative.enabled (le (trimSuffix "s" $on.knative.progressDeadline | int) 3600) }}
components.knative.progressDeadline is {{ $on.knative.progressDeadline | quote }}, but the startup probe waits an hour: give it more than 3600s.
{{- end }}
{{- end }}

{{/* A store's component without its credentials, or two of them. */}}
{{- define "wellhead.problems.stores" -}}
{{- $on := .Values.components -}}
{{- $stores := include "wellhead.stores" . | fromJsonArray -}}
{{- if gt (len $stores) 1 }}
components.{{ join " and components." $stores }} each set the service account of the release's services: switch on one, and install a release for each store.
{{- end }}
{{- with $on.s3Static }}
{{- if and .enabled (not .existingSecret) (not (and .accessKeyId .secretAccessKey)) }}
components.s3Static needs accessKeyId and secretAccessKey, or the name of a Secret of yours in existingSecret.
{{- end }}
{{- if and .enabled .existingSecret (or .accessKeyId .secretAccessKey .endpoint .region $on.privateCa.enabled) }}
components.s3Static.existingSecret is yours, so keys, endpoint, region and privateCa cannot be written into it: give it the annotations serving.kserve.io/s3-endpoint, s3-usehttps, s3-region and s3-cabundle-configmap, and leave these values empty.
{{- end }}
{{- end }}
{{- if and $on.s3Irsa.enabled (not $on.s3Irsa.roleArn) }}
components.s3Irsa needs roleArn: arn:aws:iam::<account>:role/<name>.
{{- end }}
{{- if and $on.gcsWorkloadIdentity.enabled (not $on.gcsWorkloadIdentity.googleServiceAccount) }}
components.gcsWorkloadIdentity needs googleServiceAccount: <name>@<project>.iam.gserviceaccount.com.
{{- end }}
{{- if and $on.azureWorkloadIdentity.enabled (not $on.azureWorkloadIdentity.clientId) }}
components.azureWorkloadIdentity needs clientId, the client id of the managed identity.
{{- end }}
{{- if and $on.privateCa.enabled (not $on.privateCa.certificates) }}
components.privateCa needs certificates in PEM form: helm's --set-file components.privateCa.certificates=ca.crt reads a file.
{{- end }}
{{- end }}

{{/* Services that say what a component says, or that a component cannot change. */}}
{{- define "wellhead.problems.services" -}}
{{- $on := .Values.components -}}
{{- $stores := include "wellhead.stores" . | fromJsonArray -}}
{{- range $name, $service := .Values.inferenceServices }}
{{- $predictor := $service.spec.predictor }}
{{- if and $stores $predictor.serviceAccountName }}
inferenceServices.{{ $name }} names the service account {{ $predictor.serviceAccountName | quote }}, and components.{{ first $stores }} gives it another: drop one of the two.
{{- end }}
{{- if $on.compileCache.enabled }}
{{- range ($predictor.model | default dict).volumeMounts }}
{{- if eq .mountPath "/var/cache/wellhead" }}
inferenceServices.{{ $name }} mounts a volume at /var/cache/wellhead, where components.compileCache has its own: drop one of the two.
{{- end }}
{{- end }}
{{- range $predictor.volumes }}
{{- if eq .name "compile-cache" }}
inferenceServices.{{ $name }} has a volume compile-cache, as components.compileCache has: give it another name.
{{- end }}
{{- end }}
{{- if not $predictor.model }}
inferenceServices.{{ $name }} has no predictor.model, where components.compileCache would be mounted: give it one, or mount the claim {{ $on.compileCache.existingClaim | default $on.compileCache.name }} in it.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
