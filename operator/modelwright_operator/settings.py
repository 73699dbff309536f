"""The operator's settings: read once from the environment into one frozen object."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final

from modelwright_operator.errors import SettingsError
from modelwright_operator.raw import is_list, is_map
from modelwright_server.contract.signing import parse_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX: Final = "MODELWRIGHT_"


@dataclass(frozen=True)
class Store:
    """Where models of TrainingJobs that name no storage are published."""

    uri: str
    endpoint: str = ""
    region: str = ""
    secret_name: str = ""


@dataclass(frozen=True)
class Settings:
    """All the settings of one operator process. Each is `MODELWRIGHT_<NAME IN CAPITALS>` in the environment."""

    serving_image: str
    """Image of the serving pods and of verification Jobs."""
    training_image: str
    """Image of the training Jobs' stages."""
    feast_image: str
    """Image of the stage that joins a Feast repository's features."""
    default_storage_uri: str = "pvc://modelwright-models/"
    """Where models are published when a TrainingJob names no storage."""
    default_storage_endpoint: str = ""
    """Base URL of that object store, where it is not the cloud's own."""
    default_storage_region: str = ""
    """Region of that bucket."""
    default_storage_secret_name: str = ""
    """Secret, in the TrainingJob's namespace, with the credentials of that object store."""
    namespace_stores: Mapping[str, Store] = field(default_factory=dict[str, Store])
    """Stores of namespaces that have one of their own: a JSON object of `uri`, `endpoint`, `region` and `secretName` by
    namespace."""
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces to watch; empty means all."""
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets, in each pod's own namespace, that pods pull their images with, besides those that objects name."""
    monitor_role: str = "modelwright-monitor"
    """The role that serving pods' sidecars get in their namespace; the RoleBinding there has the same name."""
    prometheus_url: str = ""
    """Base URL of the Prometheus that checks of rollouts may ask; `{namespace}` in it stands for the namespace of the
    object that asks. Empty: such checks cannot be read."""
    webhook_file: str = ""
    """File with the address of a webhook that events are posted to; empty: none."""
    webhook_events: str = "Warnings"
    """Which of them: Warnings (and approvals that are waited for), or All."""
    network_policies: bool = True
    """Whether each Deployment gets a NetworkPolicy for its pods."""
    metrics_from: str = ""
    """Who may read the metrics of serving pods and what sidecars counted: a JSON list of a NetworkPolicy's peers.
    Empty: metrics are open to everybody, the sidecars' port to the pods of the same Deployment."""
    tracing_endpoint: str = ""
    """Where serving pods send OpenTelemetry spans (OTLP over HTTP); empty: nowhere."""
    serving_upgrade_automatically: bool = False
    """Whether an upgrade of the operator with another serving image rolls it out to every Deployment."""
    resync_seconds: int = 300
    """Every so often everything is listed anew, which repairs what a watch missed."""
    progress_seconds: int = 15
    """Every so often the progress of running training Jobs is read from their logs."""
    evidence_seconds: int = 5
    """Every so often what was counted of a canary is read from the serving pods."""
    approval_required_from: str = ""
    """Versions of this risk tier or a higher one serve only once they are approved; without a tier counts as High.
    Empty: none has to be approved."""
    approval_on_revocation: str = "Alarm"
    """What happens where a version that serves loses its approval: Alarm, or RollBack to the newest one approved."""
    trusted_keys: str = ""
    """Public keys, as PEM blocks, of which one may have signed a model; empty: signatures are not looked at."""
    signature_required: bool = False
    """Whether versions that none of these keys signed are refused."""
    signing_secret_name: str = ""
    """Secret, in the TrainingJob's namespace, with the key that models are signed with where a TrainingJob names none;
    empty: those are not signed."""
    retention_versions_per_model: int = 10
    """How many versions of a model that nothing uses are kept, the newest; 0: all."""
    retention_object_stores: bool = False
    """Whether files in object stores are removed, too: credentials must allow it, and no other cluster name them."""
    retention_grace_period_seconds: int = 604800
    """How long a version beyond these is still there before it and its files are removed."""
    workers: int = 8
    """Objects reconciled at the same time."""
    request_timeout_seconds: int = 30
    """Limit of one request to the API server."""
    log_level: str = "info"
    log_format: str = "json"
    health_port: int = 8080
    """Port of /healthz and /readyz; 0: any that is free."""
    metrics_port: int = 9090
    """Port of /metrics; 0: any that is free."""
    lease_name: str = "modelwright-operator"
    lease_namespace: str = ""
    """Namespace of the leader Lease; empty: run without leader election."""
    identity: str = "modelwright-operator"
    """Holder identity in the Lease: the pod's name."""

    def store(self, namespace: str) -> Store:
        """Return where a namespace's models are published when a TrainingJob names no storage."""
        default = Store(
            self.default_storage_uri,
            self.default_storage_endpoint,
            self.default_storage_region,
            self.default_storage_secret_name,
        )
        return self.namespace_stores.get(namespace, default)


_CHOICES: Final = {
    "approval_required_from": ("Low", "Medium", "High"),
    "approval_on_revocation": ("Alarm", "RollBack"),
    "webhook_events": ("Warnings", "All"),
    "image_pull_policy": ("Always", "IfNotPresent", "Never"),
    "log_level": ("debug", "info", "warning", "error"),
    "log_format": ("json", "console"),
}
_BOOLEANS: Final = {"true": True, "false": False}
_ADDRESS: Final = (re.compile(r"https?://[^\s/@]+(/\S*)?"), "an http:// or https:// address")
_PATTERNS: Final = {"prometheus_url": _ADDRESS, "tracing_endpoint": _ADDRESS, "default_storage_endpoint": _ADDRESS}
_STORE: Final = {"uri": "uri", "endpoint": "endpoint", "region": "region", "secretName": "secret_name"}
_MINIMUM: Final = {
    "resync_seconds": 10,
    "progress_seconds": 1,
    "evidence_seconds": 1,
    "retention_versions_per_model": 0,
    "retention_grace_period_seconds": 0,
    "workers": 1,
    "request_timeout_seconds": 1,
    "health_port": 0,
    "metrics_port": 0,
}


def _value(name: str, kind: str, text: str) -> object:
    variable = PREFIX + name.upper()
    if kind == "int":
        try:
            number = int(text)
        except ValueError:
            message = f"{variable} must be a whole number, not {text!r}"
            raise SettingsError(message) from None
        if number < _MINIMUM[name]:
            message = f"{variable} must be at least {_MINIMUM[name]}, not {number}"
            raise SettingsError(message)
        return number
    if kind == "bool":
        if text not in _BOOLEANS:
            message = f"{variable} must be one of {', '.join(_BOOLEANS)}, not {text!r}"
            raise SettingsError(message)
        return _BOOLEANS[text]
    if name in _READERS:
        return _READERS[name](variable, text)
    if kind.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    allowed = _CHOICES.get(name)
    if allowed and text not in allowed:
        message = f"{variable} must be one of {', '.join(allowed)}, not {text!r}"
        raise SettingsError(message)
    pattern, wanted = _PATTERNS.get(name, (None, ""))
    if pattern is not None and not pattern.fullmatch(text):
        message = f"{variable} must be {wanted}, not {text!r}"
        raise SettingsError(message)
    return text


def _keys(variable: str, text: str) -> str:
    try:
        parse_keys(text)
    except ValueError as error:
        message = f"{variable} {error}"
        raise SettingsError(message) from None
    return text


def _stores(variable: str, text: str) -> dict[str, Store]:
    wanted = f"{variable} must be a JSON object of namespaces, each with a uri and maybe endpoint, region, secretName"
    found: dict[str, Store] = {}
    for namespace, given in _map(wanted, _parsed(text)).items():
        said = {key: value for key, value in _map(wanted, given).items() if isinstance(value, str)}
        if not said.get("uri") or said != given or not said.keys() <= _STORE.keys():
            message = f"{wanted}; what is given for {namespace!r} is not"
            raise SettingsError(message)
        found[namespace] = Store(**{_STORE[key]: value for key, value in said.items()})
    return found


def _map(wanted: str, given: object) -> dict[str, object]:
    if not is_map(given):
        raise SettingsError(wanted)
    return given


def _parsed(text: str) -> object:
    try:
        parsed: object = json.loads(text)
    except ValueError:
        return None
    return parsed


def _peers(variable: str, text: str) -> str:
    given = _parsed(text)
    if not is_list(given) or not all(map(is_map, given)):
        message = f"{variable} must be a JSON list of objects, a NetworkPolicy's peers, not {text!r}"
        raise SettingsError(message)
    return text


_READERS: Final[Mapping[str, Callable[[str, str], object]]] = {
    "trusted_keys": _keys,
    "metrics_from": _peers,
    "namespace_stores": _stores,
}


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings of an environment; an empty variable counts as absent.

    Raises:
        SettingsError: names the variable and what it may be.
    """
    given = {
        field.name: _value(field.name, str(field.type), environment[PREFIX + field.name.upper()])
        for field in fields(Settings)
        if environment.get(PREFIX + field.name.upper())
    }
    for required in ("serving_image", "training_image", "feast_image"):
        if required not in given:
            message = f"{PREFIX}{required.upper()} must name a container image"
            raise SettingsError(message)
    if given.get("signature_required") and not given.get("trusted_keys"):
        message = f"{PREFIX}SIGNATURE_REQUIRED needs keys to trust in {PREFIX}TRUSTED_KEYS: no model could be let in"
        raise SettingsError(message)
    if environment.get("POD_NAME"):
        given.setdefault("identity", environment["POD_NAME"])
    return Settings(**given)  # type: ignore[arg-type]  # every value was made for its field above
