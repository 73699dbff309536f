"""The operator: reconciles TrainingJobs, ModelVersions and Deployments into Jobs and serving pods."""
