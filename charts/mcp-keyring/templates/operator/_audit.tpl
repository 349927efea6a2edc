{{- /* Bytes of a size such as 2Gi. */ -}}
{{- define "mcpKeyring.bytes" -}}
{{- $units := dict "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- $unit := substr (int (sub (len .) 2)) (len .) . }}
{{- mul (trimSuffix $unit . | int64) (get $units $unit) }}
{{- end }}

{{- /* Size at which the audit log counts as full: below the limit of its volume, or the kubelet evicts the pod with its log before. */ -}}
{{- define "mcpKeyring.auditBytesMax" -}}
{{- $limit := include "mcpKeyring.bytes" .Values.audit.sizeLimit | int64 }}
{{- $max := div (mul $limit 3) 4 }}
{{- with .Values.audit.maxSize }}
{{- $max = include "mcpKeyring.bytes" . | int64 }}
{{- end }}
{{- if and (not .Values.audit.existingClaim) (gt (mul $max 5) (mul $limit 4)) }}
{{- fail (printf "audit.maxSize is %s, more than 80 %% of audit.sizeLimit, %s: the kubelet would evict the operator before its log counts as full; raise audit.sizeLimit" .Values.audit.maxSize .Values.audit.sizeLimit) }}
{{- end }}
{{- if or (lt $max 16777216) (gt $max 1099511627776) }}
{{- fail (printf "the audit log would count as full at %d bytes; set audit.maxSize (or audit.sizeLimit) so that it is from 16Mi to 1Ti" $max) }}
{{- end }}
{{- $max }}
{{- end }}
