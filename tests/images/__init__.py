"""Builds the container images, and those of examples, on any machine: `python -m tests.images build [NAME …]`.

Where Docker or Podman answers it builds with them, elsewhere with buildah, which needs no daemon. Where no registry
gives the base image, the base is made from Debian's packages. Only the standard library is used: it runs before any
virtual environment exists.
"""

from tests.images.build import build as build
