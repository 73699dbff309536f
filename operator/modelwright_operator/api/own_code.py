"""The user's own image, as a stage of a training pod."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from modelwright_operator.api.meta import Model, Resources, rules

# What is given here is in the Job twice (as it is, and in the annotation that remembers it), which takes 256 KiB.
Argument = Annotated[str, StringConstraints(max_length=2048)]
Word = Annotated[str, StringConstraints(max_length=512)]


class Variable(Model):
    """An environment variable."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern="^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="Name of the variable; those beginning with MODELWRIGHT_ are the operator's."
    )
    value: Annotated[str, StringConstraints(max_length=512)] = Field(
        default="", description="Its value, for all to read: not the place for a secret."
    )


class OwnCode(Model):
    """An image of yours and how to run it: no credentials, a read-only root, any non-root user."""

    image: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^\S+$")] = Field(
        description="The image; by digest (name@sha256:...) it stays the same."
    )
    command: list[Word] | None = Field(default=None, max_length=16, description="Entry point; absent: the image's own.")
    args: list[Argument] | None = Field(
        default=None,
        max_length=32,
        description="Arguments of the entry point; absent: the image's own.",
    )
    env: list[Variable] | None = Field(
        default=None,
        max_length=32,
        description="Environment variables, besides those of the contract.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            **rules(
                (
                    "self.all(v, !v.name.startsWith('MODELWRIGHT_'))",
                    "variables beginning with MODELWRIGHT_ are the operator's: choose another name",
                )
            ),
        },
    )
    resources: Resources | None = Field(
        default=None, description="Compute of this container; absent: that of the training stages."
    )
