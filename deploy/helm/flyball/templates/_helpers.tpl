{{/* The name that every object's begins with. */}}
{{- define "flyball.name" -}}
{{- $name := .Values.nameOverride | default (ternary .Release.Name (printf "%s-flyball" .Release.Name) (contains "flyball" .Release.Name)) -}}
{{- trunc 40 $name | trimSuffix "-" -}}
{{- end }}

{{- define "flyball.selector" -}}
app.kubernetes.io/name: flyball
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "flyball.labels" -}}
{{ include "flyball.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | regexFind "^[A-Za-z0-9._-]*[A-Za-z0-9]" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "flyball.podLabels" -}}
{{ include "flyball.labels" . }}
{{- with .Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What stands for a pod to start anew: the settings, and whatever the user says. */}}
{{- define "flyball.podAnnotations" -}}
checksum/config: {{ .Values.config | sha256sum }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "flyball.secret" -}}
{{ .Values.secrets.existingSecret | default (printf "%s-keys" (include "flyball.name" .)) }}
{{- end }}

{{/* An image and how it is pulled. */}}
{{- define "flyball.image" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "flyball.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* The user of the image (Dockerfile), or that of PostgreSQL's. */}}
{{- define "flyball.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "flyball.placement" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Where the ledger is and the project's key, as the environment that flyball.yaml refers to. */}}
{{- define "flyball.env" -}}
- name: FLYBALL_PROJECT_KEY
  valueFrom:
    secretKeyRef: {name: {{ include "flyball.secret" . }}, key: project-key}
{{- if .Values.ledger.existingSecret }}
- name: FLYBALL_LEDGER_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.ledger.existingSecret }}, key: url}
{{- else }}
- name: POSTGRES_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "flyball.name" . }}-postgresql, key: password}
- name: FLYBALL_LEDGER_URL
  value: postgresql://flyball:$(POSTGRES_PASSWORD)@{{ include "flyball.name" . }}-postgresql:5432/flyball
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "flyball.mounts" -}}
- {name: config, mountPath: /project/flyball.yaml, subPath: flyball.yaml, readOnly: true}
- {name: state, mountPath: /project/.flyball}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "flyball.volumes" -}}
- name: config
  configMap: {name: {{ include "flyball.name" . }}}
- name: tmp
  emptyDir: {}
{{- end }}
