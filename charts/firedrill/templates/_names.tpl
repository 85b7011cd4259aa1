{{/* Names and labels that all objects share. */}}

{{- define "firedrill.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Release and chart, unless the one names the other. Short enough for what is put behind it. */}}
{{- define "firedrill.fullname" -}}
{{- $name := include "firedrill.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Of objects without a namespace: two releases of one name, in two namespaces, have two. */}}
{{- define "firedrill.clustername" -}}
{{- printf "%s-%s" (include "firedrill.fullname" .) .Release.Namespace }}
{{- end }}

{{- define "firedrill.serviceAccountName" -}}
{{- default (include "firedrill.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "firedrill.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "firedrill.podlabels" . }}
{{- end }}

{{/* Of pods: without the chart's version, because another one alone is no reason to end them, and the runs in them. */}}
{{- define "firedrill.podlabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: firedrill
{{- end }}

{{/* Which pods: (list . "operator"). */}}
{{- define "firedrill.selector" -}}
app.kubernetes.io/name: {{ include "firedrill.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "firedrill.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end -}}
{{- end }}

{{/* What the restricted profile of pod security asks for, and a user that is not root. */}}
{{- define "firedrill.podsecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "firedrill.containersecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
