{{- define "image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{- define "confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "user" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
{{- end }}

{{- define "mounts" -}}
- {name: config, mountPath: /etc/otelcol, readOnly: true}
- {name: queue, mountPath: /var/lib/otelcol}
{{- end }}

{{- define "init" -}}
image: {{ include "image" .Values.busybox }}
resources:
  requests: {cpu: 10m, memory: 16Mi}
  limits: {memory: 16Mi}
{{- end }}

{{- define "probes" -}}
readinessProbe:
  httpGet: {path: /, port: health}
  periodSeconds: 5
livenessProbe:
  httpGet: {path: /, port: health}
  initialDelaySeconds: 15
  periodSeconds: 15
{{- end }}

{{- define "families" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "scheduling" -}}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- /* The configurations in the order in which the collector reads them: later ones change earlier ones. */ -}}
{{- define "agent.files" -}}
agent.yaml{{ if .Values.policy }} policy.yaml{{ end }}{{ if .Values.kubernetesAttributes.enabled }} kubernetes.yaml{{ end }}{{ if .Values.logs.enabled }} agent-logs.yaml{{ end }}
{{- end }}

{{- define "gateway.files" -}}
gateway.yaml{{ if .Values.sampling }} sampling.yaml{{ end }}{{ if .Values.logs.enabled }} gateway-logs.yaml{{ end }}
{{- end }}

{{- define "config" -}}
data:
  {{- range without (splitList " " .files) "policy.yaml" }}
  {{ . }}: |
{{ if eq . "sampling.yaml" }}{{ $.Values.sampling | indent 4 }}{{ else }}{{ $.Files.Get (printf "files/%s" .) | indent 4 }}{{ end }}
  {{- end }}
  queues.sh: |
{{ .Files.Get "files/queues.sh" | indent 4 }}
{{- end }}

{{- define "arguments" -}}
{{- range splitList " " . }}
- --config=/etc/otelcol/{{ . }}
{{- end }}
{{- end }}

{{- define "env" -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- {name: OTELCOL_HOST, value: "[$(POD_IP)]"}
{{- end }}
