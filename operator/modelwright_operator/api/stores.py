"""Where data and artifacts lie, and how a store is reached."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from modelwright_operator.api.meta import PVC_URI, Model, rules

# A part of a key may not begin with a dot, as of a path on a claim. Only data may have wildcards.
_BUCKET = r"(s3|gs|az)://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
_WEB = r"https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/[!$-~]+"
OBJECTS_URI = rf"{_BUCKET}(/[A-Za-z0-9_*?=@+-][A-Za-z0-9._*?=@+-]*)+"
OBJECTS_PLACE = rf"{_BUCKET}(/[A-Za-z0-9_=@+-][A-Za-z0-9._=@+-]*)*/?"
PLACE_URI = rf"{PVC_URI}|{OBJECTS_PLACE}"
DATA_URI = rf"sklearn://[a-z_]+|{PVC_URI}|{OBJECTS_URI}|{_WEB}"

PlaceUri = Annotated[str, StringConstraints(max_length=1024, pattern=f"^({PLACE_URI})$")]
SecretName = Annotated[str, StringConstraints(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]


class Store(Model):
    """How a store is reached; the fields go beside the address in `uri`."""

    endpoint: Annotated[str, StringConstraints(max_length=512, pattern=r"^https?://[A-Za-z0-9.\[\]:-]+/?$")] | None = (
        Field(
            default=None,
            description="Base URL of the object store, for example https://minio.example.org; absent: the cloud's.",
        )
    )
    region: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")] | None = Field(
        default=None, description="Region of the s3:// bucket; absent: us-east-1."
    )
    secret_name: SecretName | None = Field(
        default=None,
        description="Secret of this namespace with the credentials, by their usual names such as AWS_ACCESS_KEY_ID; "
        "absent: the pod's own identity.",
    )


class Signing(Model):
    """What a model is signed with."""

    secret_name: SecretName = Field(
        description="Secret of this namespace whose key signing.key holds the private key, as PEM; it is mounted into "
        "the stage that publishes, and nowhere else."
    )


STORE_CONDITIONS = (
    (
        "!has(self.endpoint) || self.uri.matches('^(s3|gs|az)://')",
        "endpoint is for s3://, gs:// and az:// addresses: leave it out",
    ),
    ("!has(self.region) || self.uri.startsWith('s3://')", "region is for s3:// addresses: leave it out"),
    (
        "!has(self.secretName) || self.uri.matches('^(s3|gs|az|https)://')",
        "secretName is for s3://, gs://, az:// and https:// addresses: leave it out",
    ),
)
STORE_RULES = rules(*STORE_CONDITIONS)
