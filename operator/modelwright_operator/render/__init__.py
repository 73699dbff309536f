"""Pure rendering: typed Kubernetes models of the children, dumped once."""
