"""What the operator renders is what the server and the fetch container read."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright_server import contract, exposition
from modelwright_server.contract import FetchSettings, MonitorSettings, ServerSettings, SettingsError
from modelwright_server.telemetry import Telemetry

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)
ports = st.integers(0, 65535)

servers = st.builds(
    ServerSettings,
    model_name=texts,
    model_version=texts,
    deployment=st.one_of(st.just(""), texts),
    namespace=texts,
    threads=st.integers(1, 256),
    model_dir=texts,
    drain_seconds=st.integers(0, 600),
    host=texts,
    rest_port=ports,
    metrics_port=ports,
    max_body_bytes=st.integers(1024, 1 << 30),
    max_rows=st.integers(1, 10_000_000),
    revision=st.one_of(st.just(""), st.from_regex(r"[0-9a-f]{10}", fullmatch=True)),
    control_dir=texts,
    termination_log=texts,
)
fetches = st.builds(
    FetchSettings,
    artifact_uri=texts,
    artifact_digest=texts,
    stores_dir=texts,
    model_dir=texts,
    max_artifact_bytes=st.integers(1, 1 << 40),
    verify_memory_bytes=st.integers(0, 1 << 40),
    verify_seconds=st.integers(1, 1200),
    termination_log=texts,
)

monitors = st.builds(MonitorSettings, deployment=texts, namespace=texts, control_dir=texts, credentials_dir=texts)


@given(servers)
def test_server_settings_survive_the_environment(settings: ServerSettings) -> None:
    assert ServerSettings.from_env(settings.to_env() | {"PATH": "/bin"}) == settings


@given(fetches)
def test_fetch_settings_survive_the_environment(settings: FetchSettings) -> None:
    assert FetchSettings.from_env(settings.to_env()) == settings


@given(monitors)
def test_monitor_settings_survive_the_environment(settings: MonitorSettings) -> None:
    assert MonitorSettings.from_env(settings.to_env()) == settings


def test_defaults_are_not_rendered() -> None:
    settings = ServerSettings(model_name="churn", model_version="v1")
    assert settings.to_env() == {"MODELWRIGHT_MODEL_NAME": "churn", "MODELWRIGHT_MODEL_VERSION": "v1"}
    assert (settings.rest_port, settings.metrics_port, settings.drain_seconds) == (8080, 8082, 5)


def test_all_that_is_wrong_is_named_at_once() -> None:
    env = {
        "MODELWRIGHT_MODEL_NAME": "",
        "MODELWRIGHT_THREADS": "0",
        "MODELWRIGHT_DRAIN_SECONDS": "5.0",
        "MODELWRIGHT_REST_PORT": "٣",
    }
    with pytest.raises(SettingsError) as caught:
        ServerSettings.from_env(env)
    assert str(caught.value).split("; ") == [
        "MODELWRIGHT_MODEL_NAME='' must not be empty",
        "MODELWRIGHT_MODEL_VERSION is not set",
        "MODELWRIGHT_THREADS='0' must be a whole number from 1 to 256",
        "MODELWRIGHT_DRAIN_SECONDS='5.0' must be a whole number from 0 to 600",
        "MODELWRIGHT_REST_PORT='٣' must be a whole number from 0 to 65535",
    ]


def test_wrong_values_are_not_rendered() -> None:
    with pytest.raises(SettingsError, match="MODELWRIGHT_THREADS='0'"):
        ServerSettings(model_name="churn", model_version="v1", threads=0).to_env()


def test_each_variable_belongs_to_one_setting() -> None:
    for settings in (ServerSettings, FetchSettings):
        names = [item.metadata["env"] for item in fields(settings)]
        assert len(set(names)) == len(names)
        assert all(name.startswith("MODELWRIGHT_") for name in names)


def test_metric_names_are_in_the_metrics() -> None:
    telemetry = Telemetry("m", "v", "d", "n")
    text = exposition.render(telemetry.info, telemetry.snapshot()).decode()
    names = [value for name, value in vars(contract).items() if name.startswith("METRIC_")]
    assert len(names) == 22
    for name in names:
        assert f"# TYPE {name} " in text


@pytest.mark.parametrize(
    "module", ["contract", "contract.traffic", "artifact", "stores", "schema", "termination", "fetch"]
)
def test_shared_modules_need_the_standard_library_only(module: str, tmp_path: Path) -> None:
    """The operator imports the contract, training the artifact and the stores; fetch must start fast."""
    code = (
        f"import sys, modelwright_server.{module}\n"
        "own = {name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names\n"
        "print(*sorted(name for name in own if getattr(sys.modules.get(name), '__file__', None)))"
    )
    packages = Path(contract.__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(packages)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["__main__", "modelwright_server"] or result.stdout.split() == [
        "modelwright_server"
    ]
