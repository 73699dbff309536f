"""The conventions that a platform team checks before it installs an operator, each by its command."""
