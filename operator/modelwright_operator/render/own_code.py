"""Stages that run in the user's own image: what they see, and what they are told.

Such a container is as restricted as ours, and shares with other stages only the folders named here, each a volume of
its own: what it leaves elsewhere (in /tmp, say, where Python looks for code of the user's) no other stage ever sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubernetes.aio.client import models as k8s

from modelwright_operator.render import common
from modelwright_training import contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelwright_operator import api

SIZE_LIMIT: Final = "20Gi"  # of each folder that is handed over
TMP: Final = "/tmp"  # noqa: S108  # a volume of its own


def prepare(job: api.TrainingJob, own: api.OwnCode, default: api.Resources) -> k8s.V1Container:
    """Return the container of the prepare stage, which reads what features left, else what fetch did."""
    given = contract.TO_PREPARE if job.spec.features is None else contract.FROM_FEATURES
    told = {contract.ENV_DATA_DIR: contract.OWN_DATA_DIR, contract.ENV_OUTPUT_DIR: contract.OWN_PREPARED_DIR}
    mounts = [
        common.mount(given, contract.OWN_DATA_DIR, read_only=True),
        common.mount(contract.FROM_PREPARE, contract.OWN_PREPARED_DIR),
    ]
    return _container(contract.Stage.PREPARE, job, own, told, mounts, default)


def train(job: api.TrainingJob, own: api.OwnCode, default: api.Resources) -> k8s.V1Container:
    """Return the container of the train stage: it sees the rows to train on, never the holdout."""
    told = {contract.ENV_DATA_DIR: contract.OWN_DATA_DIR, contract.ENV_OUTPUT_DIR: contract.OWN_MODEL_DIR}
    mounts = [
        common.mount(contract.TO_TRAIN, contract.OWN_DATA_DIR, read_only=True),
        common.mount(contract.FROM_TRAIN, contract.OWN_MODEL_DIR),
    ]
    return _container(contract.Stage.TRAIN, job, own, told, mounts, default)


def containers(job: api.TrainingJob, default: api.Resources) -> dict[contract.Stage, k8s.V1Container]:
    """Return the containers of all stages that run in images of the user's."""
    found: dict[contract.Stage, k8s.V1Container] = {}
    if job.spec.prepare is not None:
        found[contract.Stage.PREPARE] = prepare(job, job.spec.prepare, default)
    if job.spec.trainer is not None and job.spec.trainer.container is not None:
        found[contract.Stage.TRAIN] = train(job, job.spec.trainer.container, default)
    return found


def handed(folder: str, *, read_only: bool = False) -> k8s.V1VolumeMount:
    """Return the mount by which a stage of ours sees a folder that is handed over."""
    return common.mount(folder, f"{contract.DEFAULT_HANDOVER_DIR}/{folder}", read_only=read_only)


def _given(config: contract.JobConfig) -> str:
    """Return the folder that prepare reads: what features left, else what fetch did."""
    return contract.TO_PREPARE if config.features is None else contract.FROM_FEATURES


def mounts(config: contract.JobConfig, stage: contract.Stage) -> list[k8s.V1VolumeMount]:
    """Return what a stage of ours hands to, or takes from, another that does not see the workspace."""
    found: dict[contract.Stage, list[k8s.V1VolumeMount]] = {one: [] for one in contract.STAGES}
    if config.features is not None:
        found[contract.Stage.FETCH].append(handed(contract.TO_FEATURES))
        found[contract.Stage.FEATURES].append(handed(contract.TO_FEATURES, read_only=True))
        found[contract.Stage.FEATURES].append(handed(contract.FROM_FEATURES))
        found[contract.Stage.SPLIT].append(handed(contract.FROM_FEATURES, read_only=True))
    elif config.prepare is not None:
        found[contract.Stage.FETCH].append(handed(contract.TO_PREPARE))
    if config.prepare is not None:
        found[contract.Stage.SPLIT].append(handed(contract.FROM_PREPARE, read_only=True))
    if config.trainer.container is not None:
        found[contract.Stage.SPLIT].append(handed(contract.TO_TRAIN))
        found[contract.Stage.EVALUATE].append(handed(contract.FROM_TRAIN, read_only=True))
    return found[stage]


def _container(  # noqa: PLR0913, PLR0917 - a container's parts
    stage: contract.Stage,
    job: api.TrainingJob,
    own: api.OwnCode,
    told: Mapping[str, str],
    mounts: Sequence[k8s.V1VolumeMount],
    default: api.Resources,
) -> k8s.V1Container:
    every = {
        contract.ENV_MODEL: job.spec.model,
        contract.ENV_TARGET: job.spec.target,
        contract.ENV_TASK: job.spec.task,
        contract.ENV_SEED: str(job.spec.seed),
    }
    given = {variable.name: variable.value for variable in own.env or ()}
    return k8s.V1Container(
        name=stage.value,
        image=own.image,
        command=own.command or None,
        args=own.args or None,
        env=common.variables({"HOME": TMP, **given, **every, **told}),
        resources=common.resources(own.resources or job.spec.resources, default),
        security_context=common.container_security(),
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=[*mounts, common.mount(tmp_volume(stage), TMP)],
    )


def volumes(config: contract.JobConfig) -> list[k8s.V1Volume]:
    """Return the volumes of the folders that are handed over."""
    found: list[str] = []
    if config.features is not None:
        found += [contract.TO_FEATURES, contract.FROM_FEATURES]
    if config.prepare is not None:
        found += [_given(config), contract.FROM_PREPARE]
    if config.trainer.container is not None:
        found += [contract.TO_TRAIN, contract.FROM_TRAIN]
    return [common.empty_dir(folder, SIZE_LIMIT) for folder in dict.fromkeys(found)]


def tmp_volume(stage: contract.Stage) -> str:
    """Return the name of the stage's own scratch volume."""
    return f"tmp-{stage}"
