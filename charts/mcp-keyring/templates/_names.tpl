{{- /* Names are fixed: there is one MCP Keyring in a cluster, and sidecars, policies and plugin know it by them. */ -}}

{{- define "mcpKeyring.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: mcp-keyring
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: mcp-keyring
{{- end }}

{{- define "mcpKeyring.operatorSelector" -}}
app.kubernetes.io/name: mcp-keyring
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "mcpKeyring.gatewaySelector" -}}
app.kubernetes.io/name: mcp-keyring
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "mcpKeyring.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:mcp-keyring-operator
{{- end }}

{{- /* Reference of an image: {image, appVersion}. */ -}}
{{- define "mcpKeyring.image" -}}
{{- with .image.registry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .appVersion }}{{ end }}
{{- end }}

{{- /* Namespaces that admission leaves alone, as a list. */ -}}
{{- define "mcpKeyring.excludedNamespaces" -}}
{{- $own := list .Release.Namespace .Values.keyNamespace.name }}
{{- concat (list "kube-system" "kube-public" "kube-node-lease") $own .Values.admission.excludedNamespaces | uniq | toJson }}
{{- end }}

{{- define "mcpKeyring.admittedNamespaces" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: {{ include "mcpKeyring.excludedNamespaces" . }}
{{- end }}

{{- /* What the Pod Security Standard "baseline" lets containers add, as a list in CEL. Runtimes take lower case too: only exact names pass. */ -}}
{{- define "mcpKeyring.baselineCapabilities" -}}
['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE', 'SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT']
{{- end }}

{{- define "mcpKeyring.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "mcpKeyring.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.operator.runAsUser }}
runAsUser: {{ . | int64 }}
runAsGroup: {{ . | int64 }}
fsGroup: {{ . | int64 }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}
