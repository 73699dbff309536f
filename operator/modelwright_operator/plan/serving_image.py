"""Which serving image a revision is made for: an upgrade of the operator alone rolls nothing out.

Pods keep the template they were made with, and new revisions get the operator's image of the day. A revision of another
image and else the same is made where somebody asks for it (the annotation that `kubectl modelwright upgrade-serving`
sets names the operator's image), or where the settings say so: the image is then part of the revision's hash, and the
rollout is the normal one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelwright_operator import api, naming
from modelwright_operator.decide import tracks
from modelwright_operator.render import serving

if TYPE_CHECKING:
    from modelwright_operator.decide.snapshot import DeploymentSnapshot


def revision(snapshot: DeploymentSnapshot, version: api.ModelVersion) -> api.Revision:
    """Return the revision that serves a version as the Deployment wants it now."""
    image = _image(snapshot, version)
    return api.Revision(
        revision=serving.revision_hash(snapshot.deployment, version, image),
        version=version.metadata.name,
        model=version.spec.model,
        digest=version.spec.artifact.digest,
        version_created_at=version.metadata.creation_timestamp,
        image=image,
    )


def values(snapshot: DeploymentSnapshot, stable: api.Revision | None) -> dict[str, Any]:
    """Return what the status says of the image of the pods that answer, and of a newer one."""
    running = _running(snapshot, stable) if stable is not None else None
    if running is None:
        return {"serving": None}
    newer = snapshot.settings.serving_image
    return {"serving": {"image": running, **({"available": newer} if newer != running else {})}}


def _image(snapshot: DeploymentSnapshot, version: api.ModelVersion) -> str | None:
    """Return the image that the revision is made for; None: for none in particular.

    What a revision was made for stays, also when the operator has a newer image since: only who asks for that one, and
    does not run it yet, gets another revision.
    """
    deployment, status = snapshot.deployment, snapshot.deployment.status
    if status.stable is None:
        return None
    asked = _asked(snapshot)
    for known in (status.canary, status.stable):
        same = known is not None and serving.revision_hash(deployment, version, known.image) == known.revision
        if known is not None and same and (asked is None or _running(snapshot, known) in {None, asked}):
            return known.image
    return (
        asked if asked is not None and _running(snapshot, status.stable) not in {None, asked} else status.stable.image
    )


def _asked(snapshot: DeploymentSnapshot) -> str | None:
    """Return the operator's image if the Deployment is to be upgraded to it."""
    image = snapshot.settings.serving_image
    named = snapshot.deployment.metadata.annotations.get(naming.ANNOTATION_SERVING_IMAGE)
    return image if snapshot.settings.serving_upgrade_automatically or named == image else None


def _running(snapshot: DeploymentSnapshot, known: api.Revision) -> str | None:
    """Return the image of a revision's servers; None: there are none, so that new ones get the operator's."""
    workload = tracks.workload_of(snapshot, known)
    return workload.image(naming.SERVER_CONTAINER) if workload is not None else None
