"""The audit log outside the cluster: what happened to versions and Deployments, in a chain that shows tampering."""
