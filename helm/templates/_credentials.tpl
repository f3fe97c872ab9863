{{/*
Every credential that the pod gets, as a YAML list of { setting, secret, key, value?, generated? }:
a value goes into the chart's own Secret, one that is generated into a Secret of its own.
*/}}
{{- define "provider.credentials" -}}
{{- $name := include "provider.name" . -}}
{{- $joint := .Values.credentials.existingSecret -}}
{{- $list := list (dict "setting" "USER_TOKEN_SECRET" "at" "userToken" "key" .Values.userToken.key "existing" .Values.userToken.existingSecret "value" .Values.userToken.value "joint" true) -}}
{{- $list = append $list (dict "setting" "ACCESS_TOKEN_KEY" "at" "accessToken" "key" .Values.accessToken.key "existing" .Values.accessToken.existingSecret "value" .Values.accessToken.value "generated" (printf "%s-access-token-key%s" $name (include "provider.keyGeneration" .))) -}}
{{- with .Values.audit -}}
{{- if .to | default "off" | ne "off" -}}
{{- $list = append $list (dict "setting" "AUDIT_KEY" "at" "audit.key" "key" .key.key "existing" .key.existingSecret "value" .key.value "generated" (printf "%s-audit-key" $name)) -}}
{{- end -}}
{{- end -}}
{{- with .Values.infisical -}}
{{- if not .url -}}
{{- with $.Values.embedded.masterKey -}}
{{- $list = append $list (dict "setting" "MASTER_KEY" "at" "embedded.masterKey" "key" .key "existing" .existingSecret "value" .value "generated" (printf "%s-master-key" $name)) -}}
{{- end -}}
{{- else if not .kubernetesAuth.identityId -}}
{{- $list = append $list (dict "setting" "INFISICAL_CLIENT_ID" "at" "infisical" "valueAt" "infisical.clientId" "key" .clientIdKey "existing" .existingSecret "value" .clientId "joint" true) -}}
{{- $list = append $list (dict "setting" "INFISICAL_CLIENT_SECRET" "at" "infisical" "valueAt" "infisical.clientSecret" "key" .clientSecretKey "existing" .existingSecret "value" .clientSecret "joint" true) -}}
{{- end -}}
{{- end -}}
{{- with .Values.infisical -}}
{{- if and .url .proxy.existingSecret -}}
{{- $list = append $list (dict "setting" (include "provider.proxySetting" $) "at" "infisical.proxy" "valueAt" "infisical.proxy.url" "key" .proxy.key "existing" .proxy.existingSecret "value" .proxy.url) -}}
{{- end -}}
{{- end -}}
{{- with .Values.redis -}}
{{- if .enabled -}}
{{- $list = append $list (dict "setting" "REDIS_URL" "at" "redis" "valueAt" "redis.url" "key" .key "existing" .existingSecret "value" .url "joint" true) -}}
{{- if and .sentinel.hosts .sentinel.existingSecret -}}
{{- $list = append $list (dict "setting" "REDIS_SENTINEL_PASSWORD" "at" "redis.sentinel" "key" .sentinel.key "existing" .sentinel.existingSecret) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $list }}
{{- $valueAt := .valueAt | default (printf "%s.value" .at) }}
{{- if and .existing .value }}{{ fail (printf "%s.existingSecret and %s are both set; choose one." .at $valueAt) }}{{ end }}
{{- $secret := "" }}
{{- if .existing }}{{ $secret = .existing }}{{ include "provider.refuseOwn" (list $ .at $secret) }}
{{- else if .value }}{{ $secret = printf "%s-credentials" $name }}
{{- else if .generated }}{{ $secret = .generated }}
{{- else if $joint }}{{ $secret = $joint }}{{ include "provider.refuseOwn" (list $ "credentials" $secret) }}
{{- else }}{{ fail (printf "%s.existingSecret: name the Secret of this namespace whose key %s is %s (or set credentials.existingSecret for all of them, or %s)." .at .key .setting $valueAt) }}
{{- end }}
- setting: {{ .setting }}
  secret: {{ $secret | quote }}
  key: {{ .key | quote }}
  {{- if .value }}
  value: {{ .value | quote }}
  {{- end }}
  {{- if and .generated (eq $secret .generated) }}
  generated: true
  {{- end }}
{{- end }}
{{- end -}}

{{/*
What the chart made and is now named as somebody else's is no longer rendered, so that this very upgrade would remove it: refused. Of the
same release are the Secrets of a parent chart and its other dependencies too; these are told by the chart's name among their labels.
*/}}
{{- define "provider.refuseOwn" -}}
{{- $root := index . 0 -}}
{{- $secret := index . 2 -}}
{{- $metadata := get (lookup "v1" "Secret" $root.Release.Namespace $secret | default dict) "metadata" | default dict -}}
{{- $of := get $metadata "annotations" | default dict -}}
{{- $chart := get (get $metadata "labels" | default dict) "app.kubernetes.io/name" -}}
{{- if and (eq $chart $root.Chart.Name) (eq (get $of "meta.helm.sh/release-name") $root.Release.Name) (eq (get $of "meta.helm.sh/release-namespace") $root.Release.Namespace) (ne (get $of "helm.sh/resource-policy") "keep") -}}
{{- fail (printf "%s.existingSecret: Secret %s was made by this release, which would remove it now, as it is no longer the chart's own. Leave the value as it was, or have Helm keep the Secret first: kubectl annotate secret %s -n %s helm.sh/resource-policy=keep" (index . 1) $secret $secret $root.Release.Namespace) -}}
{{- end -}}
{{- end -}}

{{/*
Another generation is another Secret: each revision of the release has the key that it was made with, also after a rollback. A number in
a values file is a float64, which would be written with an exponent from a million on.
*/}}
{{- define "provider.keyGeneration" -}}
{{- with .Values.accessToken.generation -}}-{{ ternary . (int64 .) (kindIs "string" .) }}{{- end -}}
{{- end -}}

{{/* A key that was made once stays: what is in the cluster counts, and only where there is nothing one is made. */}}
{{- define "provider.keptKey" -}}
{{- $root := index . 0 -}}
{{- $credential := index . 1 -}}
{{- $there := lookup "v1" "Secret" $root.Release.Namespace $credential.secret -}}
{{- if $there -}}
{{- get ($there.data | default dict) $credential.key | required (printf "Secret %s is there and has no key %s." $credential.secret $credential.key) -}}
{{- else -}}
{{- randAlphaNum 64 | b64enc -}}
{{- end -}}
{{- end -}}
