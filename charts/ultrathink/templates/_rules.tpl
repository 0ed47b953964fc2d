{{/*
What the operator may do where it watches. ultrathink_operator/rights.py says the same and its tests run under it.
Secrets: create only; the tokens in them are derived again, never read. Pods: never create, never exec.
*/}}
{{- define "ultrathink.rules" -}}
- apiGroups: [ultrathink.io]
  resources: [ultrathinkjobs]
  verbs: [get, list, watch, patch]
- apiGroups: [ultrathink.io]
  resources: [ultrathinkjobs/status]
  verbs: [patch]
- apiGroups: [ultrathink.io]
  resources: [ultrathinkruntimes]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [events]
  verbs: [list]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, delete]
{{- end }}

{{/* What it may do in its own namespace: hold its Lease. */}}
{{- define "ultrathink.ownRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
{{- end }}
