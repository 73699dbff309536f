"""The stages of a training Job: fetch, train, evaluate, publish."""
