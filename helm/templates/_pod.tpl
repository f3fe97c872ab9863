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

{{/* Annotations of what the uninstall brings along; a smaller weight comes first. */}}
{{- define "provider.uninstallHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
