{{- define "modelwright.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "modelwright.fullname" -}}
{{- $name := include "modelwright.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "modelwright.serviceAccountName" -}}
{{- default (include "modelwright.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "modelwright.leaseName" -}}
{{- include "modelwright.fullname" . }}-leader
{{- end }}

{{- /* Role and RoleBinding of the sidecars, and the policy that holds them to it. */ -}}
{{- define "modelwright.monitorRole" -}}
{{- include "modelwright.fullname" . }}-monitor
{{- end }}

{{- /* The operator renders pods with this name: it is not the release's to choose. */ -}}
{{- define "modelwright.monitorAccount" -}}
modelwright-monitor
{{- end }}

{{- define "modelwright.selectorLabels" -}}
app.kubernetes.io/name: {{ include "modelwright.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "modelwright.labels" -}}
{{ include "modelwright.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* The full reference of one of the images: (list . "serving") */ -}}
{{- define "modelwright.image" -}}
{{- $root := index . 0 }}
{{- $image := index $root.Values.images (index . 1) }}
{{- $repository := $image.repository }}
{{- with $root.Values.imageRegistry }}
{{- /* The first part of a repository is a registry if it has a dot or a port, or is localhost. */ -}}
{{- $repository = printf "%s/%s" . (regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" $repository "") }}
{{- end }}
{{- if $image.digest }}
{{- printf "%s@%s" $repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default $root.Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- /* Who may read serving pods' metrics; the operator always, which reads there what was counted of canaries. */ -}}
{{- define "modelwright.metricsPeers" -}}
{{- with .Values.networkPolicy.metricsFrom }}
{{- toYaml . }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ $.Release.Namespace }}
  podSelector:
    matchLabels:
      {{- include "modelwright.selectorLabels" $ | nindent 6 }}
{{- end }}
{{- end }}

{{- /* Where models of the teams that have a store of their own go, by namespace. */ -}}
{{- define "modelwright.namespaceStores" -}}
{{- $stores := dict }}
{{- range .Values.tenants }}
{{- if .store }}
{{- $_ := set $stores .namespace .store }}
{{- end }}
{{- end }}
{{- toYaml $stores }}
{{- end }}

{{- /* The operator's user name, as the API server sees it. */ -}}
{{- define "modelwright.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "modelwright.serviceAccountName" . }}
{{- end }}

{{- /* Has a policy deny: (list . "approve-steps"), the policy's name after the release's. */ -}}
{{- define "modelwright.policyBinding" -}}
{{- $root := index . 0 }}
{{- $name := printf "%s-%s" (include "modelwright.fullname" $root) (index . 1) -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name }}
  labels:
    {{- include "modelwright.labels" $root | nindent 4 }}
spec:
  policyName: {{ $name }}
  validationActions: [Deny, Audit]
{{- end }}

{{- /* Holds a policy to the namespaces that the operator looks after. */ -}}
{{- define "modelwright.policyNamespaces" -}}
{{- with .Values.watchNamespaces }}
matchConditions:
- name: in-a-namespace-of-this-release
  expression: request.namespace in {{ toJson . }}
{{- end }}
{{- end }}

{{- /* What the operator may do in a namespace it looks after. No Secrets, no exec, no wildcard. */ -}}
{{- define "modelwright.operatorRules" -}}
- apiGroups: [modelwright.dev]
  resources: [trainingjobs, modelversions, modeldeployments]
  verbs: [get, list, watch]
# A ModelVersion is made from a finished job by server-side apply, which asks for both verbs, and deleted when it is not
# among those that are kept.
- apiGroups: [modelwright.dev]
  resources: [modelversions]
  verbs: [create, patch, delete]
# Made of a template where a Deployment's model is trained anew, likewise, and deleted beyond historyLimit.
- apiGroups: [modelwright.dev]
  resources: [trainingjobs]
  verbs: [create, patch, delete]
- apiGroups: [modelwright.dev]
  resources: [trainingjobs/status, modelversions/status, modeldeployments/status]
  verbs: [get, patch]
# Asked for by owner references that block deletion, where a cluster enforces permissions for them.
- apiGroups: [modelwright.dev]
  resources: [trainingjobs/finalizers, modelversions/finalizers, modeldeployments/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Of Deployments with spec.traffic.mode GatewayAPI.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# How far training is stands in the log; of serving pods it is never read.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Why a Job has no pod, a used-up quota for example, stands in its events alone.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# The identity of serving pods' sidecars in a namespace: by name, and made anew only where the chart did not make it.
- apiGroups: [""]
  resources: [serviceaccounts]
  resourceNames: [{{ include "modelwright.monitorAccount" . }}]
  verbs: [{{ if .Values.watchNamespaces }}get{{ else }}get, create, patch{{ end }}]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  resourceNames: [{{ include "modelwright.monitorRole" . }}]
  verbs: [{{ if .Values.watchNamespaces }}get{{ else }}get, create, patch{{ end }}]
{{- if not .Values.watchNamespaces }}
# It can bind no other role than this one, whatever it writes into a RoleBinding.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [{{ include "modelwright.monitorRole" . }}]
  verbs: [bind]
{{- end }}
{{- end }}

{{- /* What the sidecar of a serving pod may do in its own namespace. */ -}}
{{- define "modelwright.monitorRules" -}}
- apiGroups: [modelwright.dev]
  resources: [modeldeployments]
  verbs: [get, list, watch]
# Held to its own Deployment and its own fields by the policy in monitor-policy.yaml.
- apiGroups: [modelwright.dev]
  resources: [modeldeployments/status]
  verbs: [patch]
{{- end }}

{{- /* What the members of a tenant may do in its namespace: see what there is, bring models in, decide on them. */ -}}
{{- define "modelwright.viewerRules" -}}
- apiGroups: [modelwright.dev]
  resources: [trainingjobs, modelversions, modeldeployments]
  verbs: [get, list, watch]
- apiGroups: [modelwright.dev]
  resources: [modeldeployments/scale]
  verbs: [get]
# What comes of them, and why something does not move. No Secrets.
- apiGroups: [""]
  resources: [pods, pods/log, services, events, persistentvolumeclaims, resourcequotas, limitranges]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [get, list, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments, replicasets]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch]
{{- end }}

{{- define "modelwright.editorRules" -}}
{{ include "modelwright.viewerRules" . }}
- apiGroups: [modelwright.dev]
  resources: [trainingjobs, modelversions, modeldeployments]
  verbs: [create, update, patch, delete, deletecollection]
- apiGroups: [modelwright.dev]
  resources: [modeldeployments/scale]
  verbs: [update, patch]
# Claims for data; none is deleted, since models may lie there.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [create, update, patch]
# kubectl modelwright predict and report.
- apiGroups: [""]
  resources: [pods/portforward]
  verbs: [create]
- apiGroups: [""]
  resources: [pods/proxy]
  verbs: [get]
{{- end }}

{{- define "modelwright.approverRules" -}}
{{ include "modelwright.viewerRules" . }}
# `approve` is no verb of the API server's: the policies of approval-policy.yaml ask for it.
- apiGroups: [modelwright.dev]
  resources: [modelversions, modeldeployments]
  verbs: [update, patch, approve]
{{- end }}
