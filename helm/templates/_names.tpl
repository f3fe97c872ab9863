{{- define "provider.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 47 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of every object. managed-by is Helm's word; what the service registers by itself says otherwise. */}}
{{- define "provider.labels" -}}
{{ include "provider.instance" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "provider.instance" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The pods that serve, and neither the test's nor the uninstall's. */}}
{{- define "provider.selector" -}}
{{ include "provider.instance" . }}
app.kubernetes.io/component: service
{{- end -}}

{{- define "provider.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "provider.name" .) -}}
{{- end -}}

{{- define "provider.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "provider.scheme" -}}
{{- ternary "https" "http" (ne .Values.tls.existingSecret "") -}}
{{- end -}}

{{/* "yes" where callers must show a certificate. */}}
{{- define "provider.mutualTls" -}}
{{- with .Values.tls.clientCa -}}
{{- if or .existingConfigMap .existingSecret -}}yes{{- end -}}
{{- end -}}
{{- end -}}

{{/* The namespaces of a list of namespace:name, each once, as a YAML list. */}}
{{- define "provider.accountNamespaces" -}}
{{- $namespaces := list -}}
{{- range concat .Values.identity.trustedProxyServiceAccounts .Values.identity.systemEventServiceAccounts -}}
{{- $namespaces = append $namespaces (splitList ":" . | first) -}}
{{- end -}}
{{- toYaml ($namespaces | uniq | sortAlpha) -}}
{{- end -}}
