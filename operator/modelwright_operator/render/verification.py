"""The batch Job that checks an imported artifact against its digest and tries the model out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubernetes.aio.client import models as k8s

from modelwright_operator import api, naming
from modelwright_operator.render import common
from modelwright_server import contract

if TYPE_CHECKING:
    from modelwright_operator.decide.observed import Job
    from modelwright_operator.settings import Settings

MEMORY_LIMIT: Final = "2Gi"
_RESOURCES: Final = api.Resources(
    requests=api.ResourceList(cpu="100m", memory="256Mi"), limits=api.ResourceList(memory=MEMORY_LIMIT)
)
_DEADLINE_SECONDS: Final = 1800
_TMP: Final = "/tmp"  # noqa: S108  # a volume of its own in each pod


def batch_job(
    version: api.ModelVersion, attempt: str, settings: Settings, observed: Job | None = None, *, expire: bool = False
) -> common.Manifest:
    """Return the verification Job; `expire` lets Kubernetes remove it once its verdict is in status."""
    artifact = version.spec.artifact
    claims = common.claims([artifact.uri])
    labels = naming.owner_labels(naming.MODEL_VERSION, version.metadata.name)
    environment = common.fetch_settings(artifact, settings).to_env()
    container = k8s.V1Container(
        name=naming.VERIFY_CONTAINER,
        image=settings.serving_image,
        image_pull_policy=settings.image_pull_policy,
        command=["python", "-m", contract.FETCH_MODULE, contract.VERIFY_FLAG],
        env=common.variables({**environment, "HOME": _TMP}),
        env_from=common.secrets([artifact.secret_name]),
        resources=common.resources(None, _RESOURCES),
        security_context=common.container_security(),
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=[
            common.mount("model", contract.DEFAULT_MODEL_DIR),
            common.mount("tmp", _TMP),
            *common.claim_mounts(claims, claims, read_only=True),
        ],
    )
    model = k8s.V1Job(
        metadata=common.child_metadata(
            version,
            naming.MODEL_VERSION,
            naming.job_name(version.metadata.name, version.metadata.uid, attempt),
        ),
        spec=k8s.V1JobSpec(
            active_deadline_seconds=_DEADLINE_SECONDS,
            backoff_limit=2,
            completions=1,
            parallelism=1,
            ttl_seconds_after_finished=60 if expire else None,
            pod_failure_policy=k8s.V1PodFailurePolicy(
                rules=[
                    common.ignore_disruptions(),
                    k8s.V1PodFailurePolicyRule(
                        action="FailJob",
                        on_exit_codes=k8s.V1PodFailurePolicyOnExitCodesRequirement(
                            container_name=naming.VERIFY_CONTAINER,
                            operator="In",
                            values=[int(contract.ExitCode.PERMANENT)],
                        ),
                    ),
                ]
            ),
            template=k8s.V1PodTemplateSpec(
                metadata=k8s.V1ObjectMeta(labels=labels),
                spec=k8s.V1PodSpec(
                    containers=[container],
                    restart_policy="Never",
                    termination_grace_period_seconds=5,
                    volumes=[
                        common.empty_dir("model", "2Gi"),
                        common.empty_dir("tmp", "1Gi"),
                        *common.claim_volumes(claims),
                    ],
                    **common.every_pod(settings),
                ),
            ),
        ),
    )
    return common.manifest(model, "batch/v1", "Job", observed)
