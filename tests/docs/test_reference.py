"""The reference says what the code does: fields, reasons, settings, metrics, limits; nothing missing, nothing extra."""

import re
from dataclasses import MISSING, fields

import pytest
import yaml

from modelwright_operator import api
from modelwright_operator.decide.training import retry_delay_seconds
from modelwright_operator.naming import ANNOTATION_RETRY
from modelwright_operator.reasons import Reason
from modelwright_operator.render import serving as serving_render
from modelwright_operator.render import training as training_render
from modelwright_operator.settings import PREFIX, Settings
from modelwright_server import artifact, batching, graph, server
from modelwright_server import contract as serving
from modelwright_server.contract import capture, monitoring
from modelwright_server.grpc import service as grpc_service
from modelwright_server.http import messages
from modelwright_training import contract as training
from tests.docs import chart, generate, pages

_REFERENCE = pages.DOCS / "reference"
_CHART = pages.REPOSITORY / "charts" / "modelwright"
_OPERATOR_SOURCE = pages.REPOSITORY / "operator" / "modelwright_operator"


@pytest.mark.parametrize("name", sorted(generate.pages()))
def test_generated_pages_are_current(name: str) -> None:
    current = generate.pages()[name]
    assert pages.read(pages.REPOSITORY / name) == current, "run: python -m tests.docs.generate"


@pytest.mark.parametrize("name", sorted(generate.FILES.values()))
def test_every_field_is_described(name: str) -> None:
    for section in ("spec", "status"):
        for cells in list(pages.rows(_REFERENCE / name, section))[1:]:
            assert re.search(r"[a-z]", cells[3].split("(")[0]), f"{cells[0]} has no description"


def test_every_reason_is_documented_once() -> None:
    documented = pages.names(_REFERENCE / "reasons.md")
    causes = pages.names(_REFERENCE / "reasons.md", "Causes of a rejection")
    assert set(documented) - set(causes) == {reason.value for reason in Reason}


def test_every_reason_says_what_it_means_and_what_to_do() -> None:
    for reason, cells in pages.names(_REFERENCE / "reasons.md").items():
        assert len(cells) == 3, reason
        assert all(cells), reason


def test_what_pods_report_is_documented() -> None:
    documented = pages.names(_REFERENCE / "reasons.md")
    assert {reason.value for reason in (*training.Reason, *serving.Reason)} <= set(documented)


def test_every_cause_of_a_rejection_is_documented_once() -> None:
    documented = pages.names(_REFERENCE / "reasons.md", "Causes of a rejection")
    assert list(documented) == [f"ModelRejected/{cause}" for cause in serving.Cause]


def test_the_retry_annotation_is_documented_as_it_is() -> None:
    assert f"{ANNOTATION_RETRY}=2" in pages.flat(_REFERENCE / "reasons.md")


def test_every_value_of_the_chart_says_what_it_does() -> None:
    values = yaml.safe_load((_CHART / "values.yaml").read_text(encoding="utf-8"))
    rows = {name: cells for name, cells in pages.names(pages.REPOSITORY / chart.NAME).items() if "`" not in name}
    assert rows.keys() == chart.leaves(values).keys()
    for name, (kind, default, meaning) in rows.items():
        assert re.search(r"[a-z]", kind), name
        assert default.startswith("`"), name
        assert re.search(r"[a-z]", meaning), name


def _default(value: object) -> str:
    if value is MISSING:
        return "required"
    text = str(value).lower() if isinstance(value, bool) else value
    return f"`{text}`" if text not in ("", (), {}) else "empty"


def test_every_setting_of_the_operator_is_documented_with_its_default() -> None:
    documented = pages.names(_REFERENCE / "settings.md", "The operator's environment")
    assert {name: cells[0] for name, cells in documented.items()} == {
        PREFIX + field.name.upper(): _default(
            field.default if field.default_factory is MISSING else field.default_factory()
        )
        for field in fields(Settings)
    }


def test_every_metric_of_the_operator_is_documented() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in _OPERATOR_SOURCE.rglob("*.py"))
    assert set(pages.names(_REFERENCE / "metrics.md", "Operator")) == set(
        re.findall(r'"(modelwright_(?:operator_[a-z_]+|condition))"', source)
    )


def test_every_metric_of_the_server_is_documented() -> None:
    known = {value for name, value in vars(serving).items() if name.startswith("METRIC_")}
    assert set(pages.names(_REFERENCE / "metrics.md", "Model server")) == known


def test_every_metric_of_the_sidecar_is_documented() -> None:
    known = {value for name, value in vars(monitoring).items() if name.startswith("METRIC_")}
    assert set(pages.names(_REFERENCE / "metrics.md", "Sidecar")) == known


def test_every_metric_of_capture_is_documented() -> None:
    known = {value for name, value in vars(capture).items() if name.startswith("METRIC_")}
    assert set(pages.names(_REFERENCE / "metrics.md", "Capture")) == known


def test_alerts_use_metrics_that_exist() -> None:
    page = _REFERENCE / "metrics.md"
    known = {name for part in ("Operator", "Model server", "Sidecar", "Capture") for name in pages.names(page, part)}
    for name in re.findall(r"modelwright_\w+", pages.prose(page)):
        assert re.sub(r"_(count|sum|bucket)$", "", name) in known, name


def test_the_servers_limits_are_as_documented() -> None:
    text = pages.flat(_REFERENCE / "server.md")
    settings, limits = serving.ServerSettings(model_name="m", model_version="v"), messages.Limits()
    body = settings.max_body_bytes
    quick = f"{batching.MAX_QUICK:,}".replace(",", " ")
    waiting = f"{quick} quick and {batching.MAX_SLOW} slow ones, or {batching.MAX_WAITING_BYTES >> 20} MiB of values"
    head = (
        f"{limits.head >> 10} KiB, {limits.headers} headers, {limits.target >> 10} KiB target, {limits.head_seconds} s"
    )
    for line in (
        f"| request body | {body >> 20} MiB; {4 * body >> 20} MiB for all incomplete bodies together |",
        f"| rows in a request | {settings.max_rows:,} |".replace(",", " "),
        f"| connections | {limits.connections:,} |".replace(",", " "),
        f"| requests waiting for the model | {waiting} |",
        f"| head of a request | {head} |",
        f"| a request from first to last byte | {limits.request_seconds} s |",
        f"| idle connection | {limits.idle_seconds} s |",
        f"longer than {batching.INLINE_SECONDS * 1000:g} ms",
        f"at least {settings.drain_seconds} seconds",
        f"up to {server.LAST_ANSWERS_SECONDS:.0f} seconds",
        f"(port {serving_render.SERVICE_PORT})",
        f"port {settings.metrics_port}",
    ):
        assert line in text


def test_how_grpc_connections_end_is_as_documented() -> None:
    text = pages.flat(pages.DOCS / "operations.md")
    assert f"give each connection up after {grpc_service.CONNECTION_SECONDS:.0f} seconds" in text
    assert f"service/churn {serving.GRPC_PORT}" in text


def test_the_artifacts_limits_are_as_documented() -> None:
    text = pages.flat(_REFERENCE / "artifact.md")
    assert f"more than {artifact.MAX_FILES} files" in text
    assert f"{artifact.MAX_MANIFEST_BYTES >> 10} KiB of manifest, {artifact.MAX_SCHEMA_BYTES >> 20} MiB of" in text
    assert f"`schema.json` or {artifact.MAX_BYTES >> 30} GiB altogether" in text
    assert f"nested deeper than {graph.MAX_DEPTH}" in text
    settings = serving.FetchSettings(artifact_uri="pvc://c/a", artifact_digest="")
    assert f"after {settings.verify_seconds} s" in text


def _compute(given: api.Resources) -> tuple[str, str, str]:
    """Return CPU and memory asked for and the memory limit, as the pages write them."""
    requests, limits = given.requests, given.limits
    assert requests is not None
    assert limits is not None
    memory, limit = (re.sub(r"([MG]i)$", r" \1B", str(amount)) for amount in (requests.memory, limits.memory))
    return f"{requests.cpu} CPU", memory, limit


def test_the_compute_of_pods_is_as_documented() -> None:
    cpu, memory, limit = _compute(training_render.DEFAULT_RESOURCES)
    asks = f"asks for {cpu} and {memory} and may use {limit}"
    operations = pages.flat(pages.DOCS / "operations.md")
    assert asks in pages.flat(pages.DOCS / "training.md")
    assert f"a training stage {asks}" in operations
    cpu, memory, limit = _compute(serving_render.default_resources())
    assert f"a model server asks for {cpu} and {memory} and may use {limit}" in operations


def test_the_pauses_between_attempts_are_as_documented() -> None:
    first = ", ".join(str(retry_delay_seconds(attempt)) for attempt in (1, 2, 3))
    assert f"{first} … at most {retry_delay_seconds(100)} seconds" in pages.flat(_REFERENCE / "reasons.md")
