"""The model server, the fetch container, and the artifact format both share with training."""
