{{/*
Puts the chart's own value wherever one is absent or null, and renders nothing. Helm does so for the values of this chart's own version
only: `--reuse-values` brings those of an older one, and `--set <block>=null` takes a block away. Every template begins with it.
*/}}
{{- define "provider.withDefaults" -}}
{{- include "provider.fill" (list .Values (.Files.Get "files/defaults.yaml" | fromYaml) "") -}}
{{- end -}}

{{/* Of a map, its defaults and where it is. What Kubernetes gives a meaning may lack a key on purpose. */}}
{{- define "provider.fill" -}}
{{- $given := index . 0 -}}
{{- $at := index . 2 -}}
{{- $free := list ".resources.requests.cpu" ".networkPolicy.ingress.appNamespaces.matchExpressions" ".metrics.dashboard.labels.grafana_dashboard" -}}
{{- range $key, $default := index . 1 -}}
{{- $path := printf "%s.%s" $at $key -}}
{{- if kindIs "invalid" (index $given $key) -}}
{{- if not (has $path $free) -}}{{- $_ := set $given $key $default -}}{{- end -}}
{{- else if and (kindIs "map" $default) (kindIs "map" (index $given $key)) -}}
{{- include "provider.fill" (list (index $given $key) $default $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}
