"""Documents made of what the cluster holds of a version: dossier, model card, bill of materials, MLflow's model."""
