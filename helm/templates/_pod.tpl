{{/* What every pod of the chart has: no root, nothing writable, no rights of the kernel. OpenShift gives each namespace ids of its own, and refuses others. */}}
{{- define "provider.podSecurity" -}}
{{- $given := .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
{{- if ne .Values.podSecurity.ids "auto" }}{{ $given = eq .Values.podSecurity.ids "platform" }}{{ end -}}
runAsNonRoot: true
{{- if not $given }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "provider.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* How long a start may take, in seconds: the embedded store is read and checked as a whole before any port is opened, 20 MiB a second at least. */}}
{{- define "provider.startupSeconds" -}}
{{- $size := .Values.embedded.size | toString -}}
{{- $factor := get (dict "Mi" 1 "Gi" 1024 "Ti" 1048576) (regexFind "[A-Z]i$" $size) | int64 -}}
{{- $sizeMiB := mul (regexFind "^[0-9]+" $size | int64) $factor -}}
{{- ternary 60 (add 60 (div $sizeMiB 20)) (ne .Values.infisical.url "") -}}
{{- end -}}

{{/* Pods that run once and end. */}}
{{- define "provider.smallResources" -}}
requests: { cpu: 20m, memory: 128Mi }
limits: { memory: 128Mi }
{{- end -}}

{{- define "provider.imagePull" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* A file of a ConfigMap or a Secret as a source of a projected volume. */}}
{{- define "provider.fileSource" -}}
{{- $from := index . 0 -}}
{{- $file := index . 1 -}}
{{- if $from.existingConfigMap -}}
- configMap: { name: {{ $from.existingConfigMap }}, items: [{ key: {{ $from.key }}, path: {{ $file }} }] }
{{- else if $from.existingSecret -}}
- secret: { name: {{ $from.existingSecret }}, items: [{ key: {{ $from.key }}, path: {{ $file }} }] }
{{- end -}}
{{- end -}}

{{/*
Annotations of what takes the registrations back, after an uninstall, and while nothing is registered after an upgrade or a rollback too,
which may have switched it off. A smaller weight comes first.
*/}}
{{- define "provider.uninstallHook" -}}
helm.sh/hook: {{ ternary "post-delete" "post-delete,post-upgrade,post-rollback" (index . 0).Values.registration.enabled }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
