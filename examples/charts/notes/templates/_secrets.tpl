{{/* The environment of whatever uses the secret service: the init container, and the app's own client. */}}
{{- define "notes.secretsEnvironment" -}}
- name: OLARES_SECRETS_URL
  value: {{ .Values.secrets.url | default (printf "http://secret-provider.user-system-%s" .Values.bfl.username) | quote }}
- name: OLARES_SECRETS_WORKSPACE
  value: {{ .Values.secrets.workspace | quote }}
- name: OLARES_SECRETS_ENV
  value: prod
- name: OLARES_SECRETS_TOKEN_FILE
  value: /var/run/olares-secrets/token
{{- if .Values.secrets.sendPodToken }}
- name: OLARES_SECRETS_POD_TOKEN_FILE
  value: /var/run/secrets/kubernetes.io/serviceaccount/token
{{- end }}
{{- end }}

{{- define "notes.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
readOnlyRootFilesystem: true
{{- end }}
