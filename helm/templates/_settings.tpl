{{/* The settings of the service by their names in its README, those that are no credentials. */}}
{{- define "provider.settings" -}}
{{- $name := include "provider.name" . -}}
HOST: {{ .Values.listenAddress | quote }}
PORT: "8080"
LOG_LEVEL: {{ .Values.logLevel }}
LOG_FORMAT: json
RESPONSE_STYLE: {{ .Values.responseStyle }}
API_DOCS: {{ ternary "on" "off" .Values.apiDocs | quote }}
SHUTDOWN_TIMEOUT_MS: {{ int64 .Values.shutdownTimeoutMs | quote }}
{{- with .Values.grants }}
GRANTS_SOURCE: {{ .source }}
WORKSPACE_SHARING: {{ .workspaceSharing }}
{{- if eq .source "directory" }}
GRANTS_DIR: /grants
{{- else }}
GRANT_FEEDS: {{ join "," .feeds | quote }}
{{- if has "manifests" .feeds }}
GRANT_APPROVALS_NAMESPACE: {{ $.Release.Namespace | quote }}
{{- end }}
GRANTS_MAX_AGE_S: {{ int64 .maxAgeSeconds | quote }}
SERVICE_ACCOUNT_AUDIENCE: {{ $.Values.identity.audience | quote }}
{{- with $.Values.olares }}
OLARES_RELEASE: {{ .release }}
LEFTOVER_PERMISSIONS: {{ .leftoverPermissions }}
{{- with .permissionProvider }}
PERMISSION_PROVIDER: {{ . | quote }}
{{- end }}
{{- with .staticGrants }}
STATIC_GRANTS: {{ toJson . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.audit }}
AUDIT: {{ .to | default "off" | quote }}
{{- if .to | default "off" | ne "off" }}
AUDIT_DEADLINE_MS: {{ int64 .deadlineMs | quote }}
{{- end }}
{{- if has .to (list "file" "both") }}
AUDIT_FILE: /audit/audit.log
AUDIT_DURABILITY: {{ .durability }}
AUDIT_FILE_MAX_MIB: {{ int64 .fileMaxMiB | quote }}
AUDIT_FILE_MAX_HOURS: {{ int64 .fileMaxHours | quote }}
AUDIT_FILES_KEPT: {{ int64 .filesKept | quote }}
{{- end }}
{{- end }}
{{- with .Values.identity }}
{{- with .trustedProxyServiceAccounts }}
TRUSTED_PROXY_SERVICE_ACCOUNTS: {{ join "," . | quote }}
{{- end }}
{{- with .systemEventServiceAccounts }}
SYSTEM_EVENT_SERVICE_ACCOUNTS: {{ join "," . | quote }}
{{- end }}
RBAC_PROXY: {{ .rbacProxy | default "off" | quote }}
{{- if eq $.Values.grants.source "kubernetes" }}
SYSTEM_SERVER_PROOF: {{ .systemServerProof | default "off" | quote }}
PREDECESSOR_SERVICE: {{ $.Values.service.asPredecessor | quote }}
{{- end }}
{{- end }}
SETTINGS_ROUTES: {{ .Values.settingsRoutes.mode | default "off" | quote }}
{{- with include "provider.settingsAccounts" . | fromYamlArray }}
SETTINGS_SERVICE_ACCOUNTS: {{ join "," . | quote }}
{{- end }}
{{- if .Values.registration.enabled }}
PROVIDER_ENDPOINT: {{ include "provider.endpoint" . | quote }}
PROVIDER_REGISTRATION: {{ .Values.registration.kind }}
{{- if include "provider.byRoles" . }}
PROVIDER_NAME: {{ .Values.registration.providerName }}
{{- end }}
{{- end }}
{{- with .Values.userToken }}
USER_TOKEN_REQUIRED: {{ .required | quote }}
{{- with .lldapUrl }}
LLDAP_URL: {{ . | quote }}
{{- end }}
{{- with .adminGroup }}
ADMIN_GROUP: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .Values.infisical }}
{{- if .url }}
INFISICAL_URL: {{ .url | quote }}
INFISICAL_TIMEOUT_MS: {{ int64 .timeoutMs | quote }}
{{- with .organizationId }}
INFISICAL_ORGANIZATION_ID: {{ . | quote }}
{{- end }}
{{- with .kubernetesAuth.identityId }}
INFISICAL_KUBERNETES_IDENTITY_ID: {{ . | quote }}
INFISICAL_KUBERNETES_TOKEN_FILE: /run/provider/infisical/token
{{- end }}
{{- if or .ca.existingConfigMap .ca.existingSecret }}
INFISICAL_CA_FILE: /run/provider/files/infisical-ca.crt
{{- end }}
{{- with .proxy.url }}
{{ include "provider.proxySetting" $ }}: {{ . | quote }}
{{- end }}
{{- with .proxy.noProxy }}
NO_PROXY: {{ . | quote }}
{{- end }}
{{- with $.Values.cache }}
CACHE_TTL_MS: {{ int64 .ttlMs | quote }}
CACHE_MAX_STALE_MS: {{ int64 .maxStaleMs | quote }}
CACHE_MAX_ENTRIES: {{ int64 .maxEntries | quote }}
CACHE_MAX_MIB: {{ int64 .maxMiB | quote }}
{{- end }}
{{- else }}
DATA_DIR: /data
DISK_RESERVE_MIB: {{ int64 $.Values.embedded.diskReserveMiB | quote }}
{{- end }}
{{- end }}
{{- with .Values.protection }}
RATE_LIMIT_APP_READS: {{ .app.reads | quote }}
RATE_LIMIT_APP_WRITES: {{ .app.writes | quote }}
RATE_LIMIT_USER_READS: {{ .user.reads | quote }}
RATE_LIMIT_USER_WRITES: {{ .user.writes | quote }}
MAX_IN_FLIGHT: {{ int64 .maxInFlight | quote }}
MAX_EVENT_LOOP_DELAY_MS: {{ int64 .maxEventLoopDelayMs | quote }}
QUOTA_WORKSPACE_SECRETS: {{ int64 .quotas.workspace.maxSecrets | quote }}
QUOTA_WORKSPACE_MIB: {{ int64 .quotas.workspace.maxMiB | quote }}
QUOTA_USER_SECRETS: {{ int64 .quotas.user.maxSecrets | quote }}
QUOTA_USER_MIB: {{ int64 .quotas.user.maxMiB | quote }}
{{- end }}
{{- with .Values.redis }}
{{- if .enabled }}
REDIS_KEY_PREFIX: {{ .keyPrefix | quote }}
{{- if or .ca.existingConfigMap .ca.existingSecret }}
REDIS_CA_FILE: /run/provider/files/redis-ca.crt
{{- end }}
{{- with .sentinel }}
{{- if .hosts }}
REDIS_SENTINEL_HOSTS: {{ join "," .hosts | quote }}
REDIS_SENTINEL_MASTER_NAME: {{ .masterName | quote }}
REDIS_SENTINEL_ENABLE_TLS: {{ .tls | quote }}
{{- with .username }}
REDIS_SENTINEL_USERNAME: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.trustedCa }}
{{- if or .existingConfigMap .existingSecret }}
NODE_EXTRA_CA_CERTS: /run/provider/files/trusted-ca.crt
{{- end }}
{{- end }}
{{- with .Values.tls }}
{{- if .existingSecret }}
TLS_CERT_FILE: /run/provider/tls/tls.crt
TLS_KEY_FILE: /run/provider/tls/tls.key
{{- end }}
{{- if include "provider.mutualTls" $ }}
TLS_CLIENT_CA_FILE: /run/provider/tls/client-ca.crt
{{- with .clientSubjects }}
TLS_CLIENT_SUBJECTS: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- end }}
METRICS_PORT: {{ int64 .Values.metrics.port | quote }}
{{- with .Values.tracing.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
OTEL_TRACES_SAMPLER_ARG: {{ printf "%.9f" (float64 $.Values.tracing.sampleRatio) | quote }}
{{- end }}
{{- range include "provider.credentials" . | fromYamlArray }}
{{ .setting }}_FILE: {{ printf "/run/provider/credentials/%s" (.setting | lower | replace "_" "-") | quote }}
{{- end }}
{{- end -}}

{{/* By which the service knows the proxy on the way to Infisical. */}}
{{- define "provider.proxySetting" -}}
{{- ternary "HTTPS_PROXY" "HTTP_PROXY" (hasPrefix "https:" .Values.infisical.url) -}}
{{- end -}}
