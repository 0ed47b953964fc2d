{{/* Names, labels and references that several templates share. */}}

{{- define "ultrathink.operator" -}}
{{ printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "ultrathink.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "ultrathink.operator" .) }}
{{- else -}}
{{ required "serviceAccount.create is false, so serviceAccount.name must name one that exists" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "ultrathink.controlSecret" -}}
{{ .Values.control.existingSecret | default (printf "%s-control" .Release.Name) }}
{{- end }}

{{/* Jobs' NetworkPolicies admit pods that bear the first two, so these never change. */}}
{{- define "ultrathink.selector" -}}
app.kubernetes.io/name: ultrathink
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ultrathink.labels" -}}
{{ include "ultrathink.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Call with (dict "root" $ "image" one of .Values.images). */}}
{{- define "ultrathink.image" -}}
{{- if and .root.Values.images.requireDigest (not .image.digest) -}}
{{ fail (printf "images.requireDigest is true, so %s needs a digest; fix: --set images.NAME.digest=sha256:... with what `make images` printed or the registry shows" .image.repository) }}
{{- end -}}
{{- with .root.Values.images.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* As a JSON list. */}}
{{- define "ultrathink.watched" -}}
{{ .Values.watchNamespaces | default (list .Release.Namespace) | uniq | toJson }}
{{- end }}
