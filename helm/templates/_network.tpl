{{/* One egress rule: where to (empty: anywhere), and on which TCP ports. */}}
{{- define "provider.egressRule" -}}
{{- $to := index . 0 -}}
- ports:
    {{- range index . 1 | toStrings | uniq }}
    - { protocol: TCP, port: {{ int . }} }
    {{- end }}
  {{- with $to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The port that a URL names, or its scheme's. */}}
{{- define "provider.portOf" -}}
{{- $url := urlParse . -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* Where Redis and its Sentinels listen, as a JSON list: the ports of the values, and those that addresses among the values name. */}}
{{- define "provider.redisPorts" -}}
{{- $values := .Values.networkPolicy.egress.redis -}}
{{- $ports := list (toString (int $values.port)) -}}
{{- $hosts := .Values.redis.sentinel.hosts -}}
{{- if $hosts -}}{{- $ports = append $ports (toString (int $values.sentinelPort)) -}}{{- end -}}
{{- range append $hosts (urlParse .Values.redis.url).host -}}
{{- with regexFind ":[0-9]+$" . -}}{{- $ports = append $ports (trimPrefix ":" .) -}}{{- end -}}
{{- end -}}
{{- toJson ($ports | uniq) -}}
{{- end -}}

{{- define "provider.egressToDns" -}}
- ports:
    {{- range .Values.networkPolicy.egress.dns.ports }}
    - { protocol: UDP, port: {{ int . }} }
    - { protocol: TCP, port: {{ int . }} }
    {{- end }}
  {{- with .Values.networkPolicy.egress.dns.to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "provider.egressToCluster" -}}
{{ include "provider.egressToDns" . }}
{{ include "provider.egressRule" (list .Values.networkPolicy.egress.apiServer.to .Values.networkPolicy.egress.apiServer.ports) }}
{{- end -}}
