"""A Deployment whose requests a gateway spreads: its HTTPRoute, and what stands in the way of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modelwright_operator.decide import conditions
from modelwright_operator.decide.gateway import Acceptance, acceptance
from modelwright_operator.reasons import Reason
from modelwright_operator.render import gateway as render
from modelwright_server.contract.traffic import GATEWAY_API

if TYPE_CHECKING:
    from modelwright_operator import api
    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.decide.observed import Child
    from modelwright_operator.decide.snapshot import DeploymentSnapshot
    from modelwright_operator.render.common import Manifest

_MISSING: Final = (
    "the API server knows no HTTPRoute of gateway.networking.k8s.io/v1, so no gateway can spread the requests: have "
    "the Gateway API's CRDs installed, or set spec.traffic.mode to InServer; it is looked for every few seconds"
)


def asked(deployment: api.Deployment) -> bool:
    """Tell whether a gateway is to spread the requests."""
    return deployment.spec.traffic.mode == GATEWAY_API


def observed(snapshot: DeploymentSnapshot) -> Child | None:
    """Return the route, if it is there."""
    name = snapshot.deployment.metadata.name
    mine = (item for item in snapshot.children if (item.kind, item.name) == ("HTTPRoute", name))
    return next((item for item in mine if not item.deleting), None)


def manifest(snapshot: DeploymentSnapshot, stable: api.Revision, spread: api.TrafficStatus) -> Manifest | None:
    """Return the route to apply; None: no gateway is to spread the requests, or none can.

    A canary without a ready pod gets nothing. One with some gets its share and no more, also where no stable pod is
    ready: a version on trial takes over only when the rollout says so.

    Args:
        snapshot: what is seen.
        stable: the stable track.
        spread: how the requests are to be spread; without a canary unless a pod of it is ready.
    """
    deployment = snapshot.deployment
    if not asked(deployment) or not snapshot.routes_served:
        return None
    shares = render.Shares()
    if spread.canary is not None:
        taking = spread.weight > 0 or spread.shadow_percent > 0
        shares = render.Shares(spread.weight, spread.shadow_percent, spread.match if taking else None)
    return render.route(deployment, stable.model, shares)


def _acceptance(snapshot: DeploymentSnapshot) -> Acceptance:
    deployment = snapshot.deployment
    gateway = deployment.spec.traffic.gateway
    if gateway is None:
        return Acceptance("Accepted")
    deadline = deployment.spec.progress_deadline_seconds
    return acceptance(observed(snapshot), gateway.parent_refs, snapshot.now, deadline)


def awaited(snapshot: DeploymentSnapshot) -> str:
    """Return why the canary cannot get any traffic; empty: nothing stands in the way, or no gateway does it."""
    if not asked(snapshot.deployment):
        return ""
    return _acceptance(snapshot).message if snapshot.routes_served else _MISSING


def wrong(snapshot: DeploymentSnapshot) -> tuple[Mark, ...] | None:
    """Return the marks for what only a human can mend; None: nothing is wrong."""
    if not asked(snapshot.deployment):
        return None
    if not snapshot.routes_served:
        return conditions.stalled(Reason.GATEWAY_API_MISSING, _MISSING)
    if snapshot.deployment.status.stable is not None and (found := _acceptance(snapshot)).kind == "Refused":
        return conditions.stalled(Reason.ROUTE_NOT_ACCEPTED, found.message)
    return None


def pending(snapshot: DeploymentSnapshot) -> tuple[Mark, ...] | None:
    """Return the marks while gateways have not answered; None: they have."""
    if not asked(snapshot.deployment) or (found := _acceptance(snapshot)).kind == "Accepted":
        return None
    return conditions.reconciling(Reason.ROUTE_PENDING, found.message)


def unwanted(snapshot: DeploymentSnapshot) -> Child | None:
    """Return the route where no gateway is to spread the requests any more."""
    return None if asked(snapshot.deployment) else observed(snapshot)
