"""The HTTPRoute of a Deployment whose requests a gateway spreads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from modelwright_operator import naming
from modelwright_operator.render import common, serving

if TYPE_CHECKING:
    from modelwright_operator import api

_ALL: Final = 100


class Shares(NamedTuple):
    """What each track gets.

    Attributes:
        canary: percent of the requests; the rest is stable's.
        copies: percent of the requests of which the canary gets a copy.
        match: requests that go to the canary whatever its share.
    """

    canary: int = 0
    copies: int = 0
    match: api.HeaderMatch | None = None


def _backend(name: str) -> dict[str, Any]:
    return {"group": "", "kind": "Service", "name": name, "port": serving.SERVICE_PORT}


def _path(value: str = "/") -> dict[str, Any]:
    return {"path": {"type": "PathPrefix", "value": value}}


def route(deployment: api.Deployment, model: str, shares: Shares) -> common.Manifest:
    """Return the route: one rule for all requests, and others before it while the canary is in it.

    Defaults of the API server are written out where they are in a list, whose elements are compared in order.

    Args:
        deployment: whose spec.traffic.gateway says where it is attached.
        model: name of the model that stable serves.
        shares: what the canary gets.
    """
    gateway = deployment.spec.traffic.gateway
    assert gateway is not None  # noqa: S101  # the API server sees to it
    stable, canary = deployment.metadata.name, naming.canary_name(deployment.metadata.name)
    rules: list[dict[str, Any]] = []
    backends = [{**_backend(stable), "weight": _ALL - shares.canary}]
    everything: dict[str, Any] = {"matches": [_path()], "backendRefs": backends}
    if shares.canary or shares.match:  # a request that names a version is for who has it: the canary would know none
        versions = _path(f"/v2/models/{model}/versions")
        rules.append({"matches": [versions], "backendRefs": [{**_backend(stable), "weight": _ALL}]})
    if shares.match is not None:
        header = {"type": "Exact", "name": shares.match.header, "value": shares.match.value}
        rules.append(
            {
                "matches": [{**_path(), "headers": [header]}],
                "backendRefs": [{**_backend(canary), "weight": _ALL}],
            }
        )
    if shares.canary:
        backends.append({**_backend(canary), "weight": shares.canary})
    if shares.copies:
        mirror: dict[str, Any] = {"backendRef": _backend(canary)}
        if shares.copies < _ALL:
            mirror["percent"] = shares.copies
        everything["filters"] = [{"type": "RequestMirror", "requestMirror": mirror}]
    rules.append(everything)
    spec: dict[str, Any] = {
        "parentRefs": [
            {
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                **parent.model_dump(mode="json", by_alias=True, exclude_none=True),
            }
            for parent in gateway.parent_refs
        ],
        "rules": rules,
    }
    if gateway.hostnames:
        spec["hostnames"] = list(gateway.hostnames)
    metadata = common.child_metadata(deployment, naming.DEPLOYMENT, deployment.metadata.name)
    return common.custom(metadata, spec, *naming.OPTIONAL[naming.HTTP_ROUTES])
