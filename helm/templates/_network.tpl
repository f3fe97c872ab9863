{{/* One egress rule: where to (empty: anywhere), and on which TCP ports. */}}
{{- define "provider.egressRule" -}}
{{- $to := index . 0 -}}
- ports:
    {{- range index . 1 }}
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

{{- define "provider.egressToDns" -}}
- ports:
    - { protocol: UDP, port: 53 }
    - { protocol: TCP, port: 53 }
  {{- with .Values.networkPolicy.egress.dns.to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "provider.egressToCluster" -}}
{{ include "provider.egressToDns" . }}
{{ include "provider.egressRule" (list .Values.networkPolicy.egress.apiServer.to .Values.networkPolicy.egress.apiServer.ports) }}
{{- end -}}
