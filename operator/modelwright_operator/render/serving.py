"""The children of a Deployment: a workload for each revision, the Service clients call, and a disruption budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kubernetes.aio.client import models as k8s

from modelwright_operator import api, naming
from modelwright_operator.render import capture, common, monitoring, sidecar
from modelwright_operator.render.quantities import canonical_resources
from modelwright_server import contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator.decide.observed import Workload
    from modelwright_operator.settings import Settings

SERVICE_PORT: Final = 80
_HASH_VERSION: Final = 1
_GRACE_SECONDS: Final = 30
_TMP: Final = "/tmp"  # noqa: S108  # a volume of its own in each pod
_RING: Final = "ring"
_READ: Final = {"model": contract.DEFAULT_MODEL_DIR, _RING: contract.DEFAULT_RING_DIR}
"""What the sidecar reads of the server's volumes."""


def default_resources(processes: int = 1) -> api.Resources:
    """Return what a server of so many processes gets where the user says nothing."""
    return api.Resources(
        requests=api.ResourceList(cpu=f"{50 * processes}m", memory=f"{128 * processes}Mi"),
        limits=api.ResourceList(memory=f"{512 * processes}Mi"),
    )


def revision_hash(deployment: api.Deployment, version: api.ModelVersion, image: str | None = None) -> str:
    """Return the hash of everything users decide about what the pods run; the image only where they asked for it.

    Scaling and the operator's own version are not in it, and defaults are left out, so that a field added by a later
    version of the operator does not restart pods.
    """
    spec = deployment.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    server: dict[str, Any] = spec.get("server", {})
    if "resources" in server:
        server = {**server, "resources": canonical_resources(server["resources"])}
    runs = {"server": server, "pod": spec.get("pod", {})}
    watched: dict[str, Any] = spec.get("monitoring", {})
    runs |= {part: watched[part] for part in ("capture", "payloadLog") if part in watched}
    runs |= {"image": image} if image is not None else {}
    return naming.short_hash(
        _HASH_VERSION,
        naming.unordered(runs),
        {"name": version.metadata.name, "model": version.spec.model, "digest": version.spec.artifact.digest},
    )


def pod_selector(deployment: api.Deployment, revision: str) -> dict[str, str]:
    """Return the labels by which the pods of a revision are found."""
    return {
        **naming.owner_labels(naming.DEPLOYMENT, deployment.metadata.name),
        naming.LABEL_REVISION: revision,
    }


def text_selector(deployment: api.Deployment, revisions: Sequence[str]) -> str:
    """Return the label selector of the pods of these revisions as text, as scale subresources have it."""
    labels = naming.owner_labels(naming.DEPLOYMENT, deployment.metadata.name)
    of_all = [f"{key}={value}" for key, value in sorted(labels.items())]
    which = f"={revisions[0]}" if len(revisions) == 1 else f" in ({','.join(revisions)})"
    return ",".join([*of_all, f"{naming.LABEL_REVISION}{which}"])


def _probe(path: str, period: int, failures: int, timeout: int) -> k8s.V1Probe:
    return k8s.V1Probe(
        http_get=k8s.V1HTTPGetAction(path=path, port=contract.REST_PORT),
        period_seconds=period,
        failure_threshold=failures,
        timeout_seconds=timeout,
    )


def _fetch(version: api.ModelVersion, settings: Settings) -> k8s.V1Container:
    artifact = version.spec.artifact
    claims = common.claims([artifact.uri])
    environment = common.fetch_settings(artifact, settings).to_env()
    return k8s.V1Container(
        name=naming.FETCH_CONTAINER,
        image=settings.serving_image,
        image_pull_policy=settings.image_pull_policy,
        command=["python", "-m", contract.FETCH_MODULE],
        env=common.variables(environment),
        env_from=common.secrets([artifact.secret_name]),
        resources=common.resources(None, default_resources()),
        security_context=common.container_security(),
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=[
            common.mount("model", contract.DEFAULT_MODEL_DIR),
            *common.claim_mounts(claims, claims, read_only=True),
        ],
    )


def _server(
    deployment: api.Deployment, version: api.ModelVersion, revision: str, settings: Settings
) -> k8s.V1Container:
    server = deployment.spec.server
    environment = contract.ServerSettings(
        model_name=version.spec.model,
        model_version=version.metadata.name,
        deployment=deployment.metadata.name,
        namespace=deployment.metadata.namespace,
        threads=server.threads,
        batch_max_rows=server.batching.max_rows,
        processes=server.processes,
        ring_dir=contract.DEFAULT_RING_DIR,
        revision=revision,
        access_log=server.access_log,
        tracing_endpoint=settings.tracing_endpoint,
    ).to_env()
    return k8s.V1Container(
        name=naming.SERVER_CONTAINER,
        image=settings.serving_image,
        image_pull_policy=settings.image_pull_policy,
        command=["python", "-m", contract.SERVER_MODULE],
        env=common.variables({**environment, "HOME": _TMP}),
        ports=[
            k8s.V1ContainerPort(name="http", container_port=contract.REST_PORT, protocol="TCP"),
            k8s.V1ContainerPort(name="grpc", container_port=contract.GRPC_PORT, protocol="TCP"),
            k8s.V1ContainerPort(name="metrics", container_port=contract.METRICS_PORT, protocol="TCP"),
        ],
        resources=common.resources(server.resources, default_resources(server.processes)),
        security_context=common.container_security(),
        startup_probe=_probe(contract.READY_PATH, period=1, failures=600, timeout=1),
        readiness_probe=_probe(contract.READY_PATH, period=2, failures=1, timeout=2),
        liveness_probe=_probe(contract.LIVE_PATH, period=10, failures=3, timeout=5),
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=[
            common.mount("model", contract.DEFAULT_MODEL_DIR, read_only=True),
            common.mount("tmp", _TMP),
            common.mount(_RING, contract.DEFAULT_RING_DIR),
            sidecar.server_mount(),
        ],
    )


def _rings(processes: int) -> k8s.V1Volume:
    """Return the volume in memory that holds each process's ring (4 MiB), with as much again to spare."""
    return common.empty_dir(_RING, f"{8 * processes + 2}Mi", in_memory=True)


def workload(  # noqa: PLR0913  # what a workload is made of
    deployment: api.Deployment,
    version: api.ModelVersion,
    revision: str,
    settings: Settings,
    observed: Workload | None = None,
    *,
    replicas: int | None = None,
    autoscaled: bool = False,
) -> common.Manifest:
    """Return the workload that runs a revision; at full size, unless a number of pods is given.

    One whose number of pods an autoscaler writes is not another manifest for another number; and since applying it
    without the number would set it to 1 where nobody else owns it, it goes with the one that was observed, and onto
    nothing but that very observation.
    """
    selector = pod_selector(deployment, revision)
    user_labels = dict(deployment.spec.pod.labels or {}) if deployment.spec.pod else {}
    spread: dict[str, Any] = {
        "max_skew": 1,
        "topology_key": "kubernetes.io/hostname",
        "when_unsatisfiable": "ScheduleAnyway",
        "label_selector": k8s.V1LabelSelector(match_labels=selector),
    }
    pod = k8s.V1PodSpec(
        service_account_name=naming.MONITOR_ACCOUNT,
        init_containers=[
            _fetch(version, settings),
            *capture.containers(deployment, settings, _READ),
            sidecar.container(deployment, revision, settings, _READ),
        ],
        containers=[_server(deployment, version, revision, settings)],
        termination_grace_period_seconds=_GRACE_SECONDS,
        topology_spread_constraints=[k8s.V1TopologySpreadConstraint(**spread)],
        volumes=[
            common.empty_dir("model", "2Gi"),
            common.empty_dir("tmp", "64Mi"),
            _rings(deployment.spec.server.processes),
            *sidecar.volumes(),
            *capture.volumes(deployment),
            *common.claim_volumes(common.claims([version.spec.artifact.uri])),
        ],
        **common.every_pod(settings, deployment.spec.pod),
    )
    labels = {naming.LABEL_REVISION: revision, naming.LABEL_MODEL: version.spec.model}
    count = deployment.spec.replicas if replicas is None else replicas
    model = k8s.V1Deployment(
        metadata=common.child_metadata(
            deployment, naming.DEPLOYMENT, naming.workload_name(deployment.metadata.name, revision), labels
        ),
        spec=k8s.V1DeploymentSpec(
            replicas=None if autoscaled else count,
            progress_deadline_seconds=deployment.spec.progress_deadline_seconds,
            revision_history_limit=0,
            selector=k8s.V1LabelSelector(match_labels=selector),
            template=k8s.V1PodTemplateSpec(
                metadata=k8s.V1ObjectMeta(labels={**user_labels, **selector, naming.LABEL_MODEL: version.spec.model}),
                spec=pod,
            ),
        ),
    )
    manifest = common.manifest(model, "apps/v1", "Deployment", observed)
    if autoscaled:
        manifest["spec"]["replicas"] = count
        if observed is not None:
            manifest["metadata"]["resourceVersion"] = observed.resource_version
    return manifest


def service(deployment: api.Deployment, revision: str, *, canary: bool = False) -> common.Manifest:
    """Return the Service that clients call: it selects one revision, so that moving it moves all traffic at once.

    The canary's is called by the stable pods alone.
    Ports lead to the pods' by name: pods of an older template, which lack one, get none of its connections.
    """
    model = k8s.V1Service(
        metadata=common.child_metadata(
            deployment,
            naming.DEPLOYMENT,
            naming.canary_name(deployment.metadata.name) if canary else deployment.metadata.name,
            {naming.LABEL_REVISION: revision},
        ),
        spec=k8s.V1ServiceSpec(
            type="ClusterIP",
            selector=pod_selector(deployment, revision),
            ports=[
                k8s.V1ServicePort(
                    name="http", port=SERVICE_PORT, target_port="http", protocol="TCP", app_protocol="http"
                ),
                k8s.V1ServicePort(
                    name="grpc",
                    port=contract.GRPC_PORT,
                    target_port="grpc",
                    protocol="TCP",
                    app_protocol="kubernetes.io/h2c",
                ),
                k8s.V1ServicePort(
                    name="metrics",
                    port=contract.METRICS_PORT,
                    target_port="metrics",
                    protocol="TCP",
                    app_protocol="http",
                ),
                *([] if canary else monitoring.feedback_ports(deployment)),
            ],
        ),
    )
    return common.manifest(model, "v1", "Service")


def disruption_budget(deployment: api.Deployment, revision: str) -> common.Manifest:
    """Return the budget that lets node drains take one pod at a time; with one replica it would block every drain."""
    model = k8s.V1PodDisruptionBudget(
        metadata=common.child_metadata(deployment, naming.DEPLOYMENT, deployment.metadata.name),
        spec=k8s.V1PodDisruptionBudgetSpec(
            max_unavailable=1,
            unhealthy_pod_eviction_policy="AlwaysAllow",
            selector=k8s.V1LabelSelector(match_labels=pod_selector(deployment, revision)),
        ),
    )
    return common.manifest(model, "policy/v1", "PodDisruptionBudget")


def canary_host(deployment: api.Deployment) -> str:
    """Return the name by which stable pods reach the canary."""
    return f"{naming.canary_name(deployment.metadata.name)}.{deployment.metadata.namespace}.svc"


def url(deployment: api.Deployment) -> str:
    """Return the base URL of the Open Inference Protocol inside the cluster."""
    return f"http://{deployment.metadata.name}.{deployment.metadata.namespace}.svc"
