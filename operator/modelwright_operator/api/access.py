"""Who may open connections to the pods of a Deployment, in the words of NetworkPolicies."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from modelwright_operator.api.meta import Model, rules

LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=317)]
LabelValue = Annotated[str, StringConstraints(max_length=63)]
Cidr = Annotated[str, StringConstraints(max_length=43, pattern=r"^[0-9a-fA-F:.]+/[0-9]{1,3}$")]


class Selector(Model):
    """Labels that must be there; an empty selector takes everything."""

    match_labels: dict[LabelKey, LabelValue] | None = Field(
        default=None, max_length=20, description="The labels and their values."
    )


class AddressBlock(Model):
    """Addresses that are nobody's pod, or those of pods that share their node's network."""

    cidr: Cidr = Field(description="The addresses, for example 10.0.0.0/8.")


class Peer(Model):
    """Some that may open connections: pods by namespace and labels, or addresses."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.ipBlock) != (has(self.namespaceSelector) || has(self.podSelector))",
                "give either ipBlock, or namespaceSelector, podSelector or both of these",
            )
        )
    )

    namespace_selector: Selector | None = Field(
        default=None, description="Labels of the pods' namespaces; absent: the Deployment's own namespace."
    )
    pod_selector: Selector | None = Field(
        default=None, description="Labels of the pods; absent: all pods of those namespaces."
    )
    ip_block: AddressBlock | None = Field(default=None, description="Addresses outside the cluster, or of nodes.")


Peers = Annotated[list[Peer], Field(min_length=1, max_length=20)]


class Access(Model):
    """Who may open connections to the pods; enforced by the cluster's network, if it knows NetworkPolicies."""

    from_: Peers | None = Field(
        default=None, alias="from", description="Who may ask for predictions, by REST and gRPC; absent: everybody."
    )
    feedback_from: Peers | None = Field(
        default=None,
        description="Who may post labels (spec.monitoring.quality); absent: all pods of the Deployment's namespace.",
    )
