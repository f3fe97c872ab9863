{{- define "provider.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 47 | trimSuffix "-" -}}
{{- end -}}

{{/* The address at which callers reach the service, by which its registrations are known. */}}
{{- define "provider.endpoint" -}}
{{- printf "%s.%s:%d" (include "provider.name" .) .Release.Namespace (int64 .Values.service.port) -}}
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

{{/* "yes" where an object of the Prometheus operator is made; `auto`: where the cluster serves its kinds. */}}
{{- define "provider.ofPrometheusOperator" -}}
{{- $root := index . 0 -}}
{{- $enabled := index . 1 | toString -}}
{{- $served := $root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") $root.Values.metrics.enabled $served) -}}yes{{- end -}}
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

{{/* "yes" where a ProviderRegistry tells each user's system-server of the service. */}}
{{- define "provider.byRegistry" -}}
{{- if and .Values.registration.enabled (ne .Values.registration.kind "rbac") -}}yes{{- end -}}
{{- end -}}

{{/* "yes" where ClusterRoles let apps call it through system-server's RBAC proxy. */}}
{{- define "provider.byRoles" -}}
{{- if and .Values.registration.enabled (ne .Values.registration.kind "provider-registry") -}}yes{{- end -}}
{{- end -}}

{{/* The ServiceAccounts that may call the Settings routes, as a YAML list. */}}
{{- define "provider.settingsAccounts" -}}
{{- $proven := and (eq .Values.grants.source "kubernetes") (eq (toString .Values.settingsRoutes.mode) "service-accounts") -}}
{{- toYaml (ternary .Values.settingsRoutes.serviceAccounts list $proven) -}}
{{- end -}}

{{/* The ServiceAccounts of the system's own callers, as a YAML list. */}}
{{- define "provider.staticAccounts" -}}
{{- $accounts := list -}}
{{- if eq .Values.grants.source "kubernetes" -}}
{{- range .Values.olares.staticGrants -}}{{- $accounts = append $accounts .serviceAccount -}}{{- end -}}
{{- end -}}
{{- toYaml $accounts -}}
{{- end -}}

{{/* "yes" where the frontends of all users are known by the addresses of their pods. */}}
{{- define "provider.podsEverywhere" -}}
{{- if contains "<user>" (cat (include "provider.settingsAccounts" .) (include "provider.staticAccounts" .)) -}}yes{{- end -}}
{{- end -}}

{{/* The namespaces of the believed ServiceAccounts, each once, as a YAML list; those that bear a user's name are not among them. */}}
{{- define "provider.accountNamespaces" -}}
{{- $namespaces := list -}}
{{- $identity := .Values.identity -}}
{{- range concat $identity.trustedProxyServiceAccounts $identity.systemEventServiceAccounts (include "provider.settingsAccounts" . | fromYamlArray) (include "provider.staticAccounts" . | fromYamlArray) -}}
{{- $namespace := splitList ":" . | first -}}
{{- if not (contains "<user>" $namespace) -}}{{- $namespaces = append $namespaces $namespace -}}{{- end -}}
{{- end -}}
{{- toYaml ($namespaces | uniq | sortAlpha) -}}
{{- end -}}
