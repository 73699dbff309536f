"""What all children share: metadata, restricted security, volumes, and the last step from typed model to manifest."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from kubernetes.aio.client import models as k8s

from modelwright_operator import naming
from modelwright_operator.raw import is_list, is_map
from modelwright_operator.render.quantities import canonical
from modelwright_server import contract as serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import BaseModel

    from modelwright_operator import api
    from modelwright_operator.decide.observed import Child
    from modelwright_operator.settings import Settings

Manifest = dict[str, Any]

USER_ID: Final = 65532
_CLAIM: Final = re.compile(r"^pvc://(?P<claim>[^/]+)")


def owner_reference(resource: api.Resource, kind: str) -> k8s.V1OwnerReference:
    """Return the controller reference by which Kubernetes removes the child after its owner."""
    return k8s.V1OwnerReference(
        api_version=naming.API_VERSION,
        kind=kind,
        name=resource.metadata.name,
        uid=resource.metadata.uid,
        controller=True,
        block_owner_deletion=False,
    )


def child_metadata(
    resource: api.Resource, kind: str, name: str, labels: Mapping[str, str] | None = None
) -> k8s.V1ObjectMeta:
    """Return the metadata of a child: never the owner's own labels, by which GitOps tools would prune it."""
    return k8s.V1ObjectMeta(
        name=name,
        namespace=resource.metadata.namespace,
        labels={**naming.owner_labels(kind, resource.metadata.name), **(labels or {})},
        owner_references=[owner_reference(resource, kind)],
    )


def pod_security() -> k8s.V1PodSecurityContext:
    """Return the pod half of the restricted Pod Security Standard."""
    return k8s.V1PodSecurityContext(
        run_as_non_root=True,
        run_as_user=USER_ID,
        run_as_group=USER_ID,
        fs_group=USER_ID,
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
    )


def every_pod(settings: Settings, pod: api.Pod | None = None) -> dict[str, Any]:
    """Return the keyword arguments of a pod spec that no pod of ours goes without: no token, restricted.

    With what users may set of it, and the Secrets by which images are pulled everywhere.
    """
    named = [secret.name for secret in pod.image_pull_secrets or []] if pod is not None else []
    given = [*named, *(name for name in settings.image_pull_secrets if name not in named)]
    return {
        "automount_service_account_token": False,
        "enable_service_links": False,
        "security_context": pod_security(),
        "image_pull_secrets": [k8s.V1LocalObjectReference(name=name) for name in given] or None,
        **_pod_settings(pod),
    }


def ignore_disruptions() -> k8s.V1PodFailurePolicyRule:
    """Return the rule by which an evicted or preempted pod is replaced and not counted as a failure."""
    disrupted = k8s.V1PodFailurePolicyOnPodConditionsPattern(type="DisruptionTarget", status="True")
    return k8s.V1PodFailurePolicyRule(action="Ignore", on_pod_conditions=[disrupted])


def container_security() -> k8s.V1SecurityContext:
    """Return the container half of the restricted Pod Security Standard."""
    return k8s.V1SecurityContext(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=k8s.V1Capabilities(drop=["ALL"]),
    )


def _amounts(amounts: api.ResourceList | None) -> dict[str, str] | None:
    if amounts is None:
        return None
    given = amounts.model_dump(exclude_none=True)
    return {name: canonical(value) for name, value in given.items()} or None


def resources(given: api.Resources | None, default: api.Resources) -> k8s.V1ResourceRequirements:
    """Return a container's compute: what the user gave, else the default."""
    chosen = given if given is not None and (given.requests or given.limits) else default
    return k8s.V1ResourceRequirements(requests=_amounts(chosen.requests), limits=_amounts(chosen.limits))


def variables(values: Mapping[str, str]) -> list[k8s.V1EnvVar]:
    """Return environment variables in a fixed order; empty ones are left out, as the API server would drop them."""
    return [k8s.V1EnvVar(name=name, value=values[name]) for name in sorted(values) if values[name]]


def secrets(names: Iterable[str | None]) -> list[k8s.V1EnvFromSource] | None:
    """Return the keys of these Secrets as variables, each Secret's under a prefix of its own; None: no Secret.

    The prefix keeps a Secret's keys from setting variables that mean something to a program.
    """
    sources = [
        k8s.V1EnvFromSource(prefix=serving.secret_prefix(name), secret_ref=k8s.V1SecretEnvSource(name=name))
        for name in sorted({name for name in names if name})
    ]
    return sources or None


def fetch_settings(artifact: api.Artifact, settings: Settings) -> serving.FetchSettings:
    """Return what the container that fetches an artifact is told of it, and of who may have signed it."""
    return serving.FetchSettings(
        artifact_uri=artifact.uri,
        artifact_digest=artifact.digest,
        artifact_endpoint=artifact.endpoint or "",
        artifact_region=artifact.region or "",
        artifact_secret=artifact.secret_name or "",
        trusted_keys=settings.trusted_keys,
        signature_required=settings.signature_required,
    )


def empty_dir(name: str, size_limit: str, *, in_memory: bool = False) -> k8s.V1Volume:
    """Return a scratch volume with a size limit; what is in one in memory counts against the containers' limits."""
    medium = "Memory" if in_memory else None
    return k8s.V1Volume(name=name, empty_dir=k8s.V1EmptyDirVolumeSource(size_limit=size_limit, medium=medium))


def mount(name: str, path: str, *, read_only: bool = False) -> k8s.V1VolumeMount:
    """Return a mount of a volume."""
    return k8s.V1VolumeMount(name=name, mount_path=path, read_only=True if read_only else None)


def claims(uris: Sequence[str]) -> tuple[str, ...]:
    """Return the claims that pvc:// URIs name, each once, sorted.

    >>> claims(["pvc://b/x", "sklearn://iris", "pvc://a/", "pvc://b/y"])
    ('a', 'b')
    """
    return tuple(sorted({match["claim"] for uri in uris if (match := _CLAIM.match(uri))}))


def claim_volumes(names: Sequence[str]) -> list[k8s.V1Volume]:
    """Return the volumes of these claims, named `store-0`, `store-1` …: a claim's own name may be too long."""
    return [
        k8s.V1Volume(
            name=f"store-{index}",
            persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name=name),
        )
        for index, name in enumerate(names)
    ]


def claim_mounts(all_claims: Sequence[str], wanted: Sequence[str], *, read_only: bool) -> list[k8s.V1VolumeMount]:
    """Return the mounts of the wanted claims under the stores' directory."""
    return [
        mount(f"store-{index}", f"{serving.DEFAULT_STORES_DIR}/{name}", read_only=read_only)
        for index, name in enumerate(all_claims)
        if name in wanted
    ]


def tolerations(given: Sequence[api.Toleration] | None) -> list[k8s.V1Toleration] | None:
    """Return the tolerations as the pod takes them."""
    if not given:
        return None
    return [k8s.V1Toleration(**toleration.model_dump(exclude_none=True)) for toleration in given]


def _pod_settings(pod: api.Pod | None) -> dict[str, Any]:
    if pod is None:
        return {}
    return {
        "node_selector": dict(pod.node_selector) if pod.node_selector else None,
        "tolerations": tolerations(pod.tolerations),
        "priority_class_name": pod.priority_class_name,
    }


def _first_template(observed: Child | None) -> Manifest | None:
    """Return the template that a child was made with; None: there is none, or somebody spoilt it."""
    try:
        template = json.loads(observed.annotations[naming.ANNOTATION_TEMPLATE]) if observed is not None else None
    except (KeyError, ValueError):
        return None
    return template if is_map(template) else None


def manifest(model: BaseModel, api_version: str, kind: str, observed: Child | None = None) -> Manifest:
    """Return the manifest to apply.

    A pod template that was rendered before, perhaps by an older operator, is kept: upgrades never restart pods, and a
    template edited by hand is put back to what it was.
    """
    body: Manifest = {
        **model.model_dump(mode="json", by_alias=True, exclude_none=True),
        "apiVersion": api_version,
        "kind": kind,
    }
    annotations: dict[str, str] = body["metadata"].setdefault("annotations", {})
    if "template" in body.get("spec", {}):
        body["spec"]["template"] = _first_template(observed) or body["spec"]["template"]
        annotations[naming.ANNOTATION_TEMPLATE] = naming.canonical_json(body["spec"]["template"])
    annotations[naming.ANNOTATION_APPLIED] = naming.short_hash(body)
    return body


def custom(metadata: k8s.V1ObjectMeta, spec: Manifest, api_version: str, kind: str) -> Manifest:
    """Return the manifest of a kind that the client has no model of."""
    dumped: Manifest = metadata.model_dump(mode="json", by_alias=True, exclude_none=True)
    body: Manifest = {"metadata": dumped, "spec": spec, "apiVersion": api_version, "kind": kind}
    dumped.setdefault("annotations", {})[naming.ANNOTATION_APPLIED] = naming.short_hash(body)
    return body


def contains(observed: object, wanted: object) -> bool:
    """Tell whether the observed value has everything that is wanted; the API server adds defaults around it.

    Lists must have the same length: their elements are compared in order.

    >>> contains({"a": 1, "b": [{"c": 2, "d": 3}]}, {"b": [{"c": 2}]}), contains({"b": [1]}, {"b": [1, 2]})
    (True, False)
    """
    if is_map(wanted):
        return is_map(observed) and all(
            key in observed and contains(observed[key], value) for key, value in wanted.items()
        )
    if is_list(wanted):
        return (
            is_list(observed)
            and len(observed) == len(wanted)
            and all(contains(mine, theirs) for mine, theirs in zip(observed, wanted, strict=True))
        )
    return bool(observed == wanted)
