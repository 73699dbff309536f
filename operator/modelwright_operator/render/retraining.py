"""The TrainingJob by which a Deployment's model is trained anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_operator import naming
from modelwright_operator.raw import part
from modelwright_operator.render.common import child_metadata, custom

if TYPE_CHECKING:
    from modelwright_operator import api
    from modelwright_operator.decide.observed import Child
    from modelwright_operator.render.common import Manifest


def training_job(deployment: api.Deployment, template: Child, episode: int, told: str) -> Manifest:
    """Return the run of an episode: the template's spec, not suspended, and compared with what answers.

    Args:
        deployment: what it is for.
        template: the TrainingJob to run again.
        episode: number of the episode.
        told: what the run is started for, as the annotation has it.
    """
    name = naming.run_name(deployment.metadata.name, deployment.metadata.uid, episode)
    labels = {naming.LABEL_EPISODE: str(episode)}
    metadata = child_metadata(deployment, naming.DEPLOYMENT, name, labels)
    metadata.annotations = {naming.ANNOTATION_EPISODE: told}
    champion = {"deployment": deployment.metadata.name}
    spec = {
        **template.spec,
        "evaluation": {"champion": champion, **part(template.spec, "evaluation")},
        "suspend": False,
    }
    return custom(metadata, spec, naming.API_VERSION, naming.TRAINING_JOB)
