{{/* Rules of the ClusterRoles for people. Each role is whole, so that it can be bound in a namespace as it stands. */}}
{{- define "mcpKeyring.rules.user" -}}
- apiGroups: [mcpkeyring.io]
  resources: [userkeyrequests]
  verbs: [create, get]
- apiGroups: [mcpkeyring.io]
  resources: [mcpservers]
  verbs: [get, list, use]
{{- end }}

{{/* Servers and policies. Not UserKeys: who has a key where, and in which state, is about persons. */}}
{{- define "mcpKeyring.rules.view" -}}
- apiGroups: [mcpkeyring.io]
  resources: [mcpservers, userkeypolicies]
  verbs: [get, list, watch]
{{- end }}

{{/* Who writes an McpServer decides where the keys of its users go, and who writes a policy what is called with them. */}}
{{- define "mcpKeyring.rules.edit" -}}
- apiGroups: [mcpkeyring.io]
  resources: [mcpservers, userkeypolicies]
  verbs: [create, update, patch, delete, deletecollection]
- apiGroups: [mcpkeyring.io]
  resources: [userkeys]
  verbs: [get, list, watch]
{{- end }}

{{/*
Deleting a UserKey destroys the sealed key behind it, deleting an AccessToken revokes it. Nobody but the operator writes one. Users see
and revoke their own tokens through kubectl mcpkeys, as rights on a resource cannot be told apart by owner.
*/}}
{{- define "mcpKeyring.rules.admin" -}}
- apiGroups: [mcpkeyring.io]
  resources: [mcpservers]
  verbs: [approve, revoke]
- apiGroups: [mcpkeyring.io]
  resources: [userkeys]
  verbs: [delete, deletecollection]
- apiGroups: [mcpkeyring.io]
  resources: [accesstokens]
  verbs: [get, list, watch, delete, deletecollection]
{{- end }}
