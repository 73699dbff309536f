"""The batch Job that removes the files of a version nobody needs any more; it sees its store and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubernetes.aio.client import models as k8s

from modelwright_operator import api, naming
from modelwright_operator.render import common
from modelwright_training import contract

if TYPE_CHECKING:
    from modelwright_operator.decide.observed import Job
    from modelwright_operator.settings import Settings

CONTAINER: Final = "cleanup"
_RESOURCES: Final = api.Resources(
    requests=api.ResourceList(cpu="50m", memory="64Mi"), limits=api.ResourceList(memory="256Mi")
)
_DEADLINE_SECONDS: Final = 300


def job_name(version: api.ModelVersion, attempt: str) -> str:
    """Return the name of the clean-up Job."""
    return naming.job_name(version.metadata.name, version.metadata.uid, f"cleanup {attempt}")


def batch_job(
    version: api.ModelVersion, attempt: str, settings: Settings, observed: Job | None = None
) -> common.Manifest:
    """Return the clean-up Job of a version; it goes with the version."""
    artifact = version.spec.artifact
    claims = common.claims([artifact.uri])
    container = k8s.V1Container(
        name=CONTAINER,
        image=settings.training_image,
        image_pull_policy=settings.image_pull_policy,
        command=["python", "-m", "modelwright_training.cleanup"],
        env=common.variables(_environment(artifact)),
        env_from=common.secrets([artifact.secret_name]),
        resources=common.resources(None, _RESOURCES),
        security_context=common.container_security(),
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=common.claim_mounts(claims, claims, read_only=False),
    )
    model = k8s.V1Job(
        metadata=common.child_metadata(version, naming.MODEL_VERSION, job_name(version, attempt)),
        spec=k8s.V1JobSpec(
            active_deadline_seconds=_DEADLINE_SECONDS,
            backoff_limit=2,
            completions=1,
            parallelism=1,
            pod_failure_policy=k8s.V1PodFailurePolicy(
                rules=[
                    common.ignore_disruptions(),
                    k8s.V1PodFailurePolicyRule(
                        action="FailJob",
                        on_exit_codes=k8s.V1PodFailurePolicyOnExitCodesRequirement(
                            container_name=CONTAINER, operator="In", values=[int(contract.ExitCode.PERMANENT)]
                        ),
                    ),
                ]
            ),
            template=k8s.V1PodTemplateSpec(
                metadata=k8s.V1ObjectMeta(labels=naming.owner_labels(naming.MODEL_VERSION, version.metadata.name)),
                spec=k8s.V1PodSpec(
                    containers=[container],
                    restart_policy="Never",
                    termination_grace_period_seconds=5,
                    volumes=common.claim_volumes(claims),
                    **common.every_pod(settings),
                ),
            ),
        ),
    )
    return common.manifest(model, "batch/v1", "Job", observed)


def _environment(artifact: api.Artifact) -> dict[str, str]:
    """Return what the program is told; what is not given is left out."""
    store = {
        contract.ENV_CLEANUP_ENDPOINT: artifact.endpoint,
        contract.ENV_CLEANUP_REGION: artifact.region,
        contract.ENV_CLEANUP_SECRET: artifact.secret_name,
    }
    return {
        contract.ENV_CLEANUP_URI: artifact.uri,
        contract.ENV_CLEANUP_DIGEST: artifact.digest,
        "HOME": "/",
        **{name: value for name, value in store.items() if value},
    }
