"""Settings from the environment: every mistake names its variable."""

from __future__ import annotations

import pytest

from modelwright_operator import settings
from modelwright_operator.errors import SettingsError

IMAGES = {
    "MODELWRIGHT_SERVING_IMAGE": "s:1",
    "MODELWRIGHT_TRAINING_IMAGE": "t:1",
    "MODELWRIGHT_FEAST_IMAGE": "f:1",
}


def test_images_are_all_that_must_be_said() -> None:
    read = settings.from_environment(IMAGES)
    assert (read.serving_image, read.training_image) == ("s:1", "t:1")
    assert (read.workers, read.resync_seconds, read.watch_namespaces, read.lease_namespace) == (8, 300, (), "")


def test_everything_can_be_set() -> None:
    read = settings.from_environment(
        {
            **IMAGES,
            "MODELWRIGHT_WATCH_NAMESPACES": " a, b ,",
            "MODELWRIGHT_WORKERS": "3",
            "MODELWRIGHT_LOG_LEVEL": "debug",
            "MODELWRIGHT_IMAGE_PULL_POLICY": "Always",
            "MODELWRIGHT_DEFAULT_STORAGE_URI": "pvc://elsewhere/",
            "MODELWRIGHT_LEASE_NAMESPACE": "system",
            "MODELWRIGHT_TRACING_ENDPOINT": "http://collector:4318",
            "POD_NAME": "operator-7",
            "UNRELATED": "x",
        }
    )
    assert read.watch_namespaces == ("a", "b")
    assert read.tracing_endpoint == "http://collector:4318"
    assert (read.workers, read.log_level, read.image_pull_policy) == (3, "debug", "Always")
    assert (read.default_storage_uri, read.lease_namespace, read.identity) == (
        "pvc://elsewhere/",
        "system",
        "operator-7",
    )


def test_a_namespace_may_have_a_store_of_its_own() -> None:
    text = '{"a": {"uri": "s3://a/", "secretName": "keys"}}'
    read = settings.from_environment({**IMAGES, "MODELWRIGHT_NAMESPACE_STORES": text})
    assert read.store("a") == settings.Store("s3://a/", secret_name="keys")  # noqa: S106  # a name
    assert read.store("b") == settings.Store("pvc://modelwright-models/")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"a": "s3://a/"}', '{"a": {}}', '{"a": {"uri": 1}}', '{"a": {"uri": "s3://a/", "url": "x"}}']
)
def test_a_store_that_is_none_is_said(text: str) -> None:
    with pytest.raises(SettingsError, match="MODELWRIGHT_NAMESPACE_STORES must be a JSON object of namespaces"):
        settings.from_environment({**IMAGES, "MODELWRIGHT_NAMESPACE_STORES": text})


def test_an_identity_that_is_given_wins_over_the_pods_name() -> None:
    assert settings.from_environment({**IMAGES, "MODELWRIGHT_IDENTITY": "me", "POD_NAME": "p"}).identity == "me"


def test_an_empty_variable_counts_as_absent() -> None:
    assert settings.from_environment({**IMAGES, "MODELWRIGHT_WORKERS": ""}).workers == 8


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MODELWRIGHT_WORKERS", "many"),
        ("MODELWRIGHT_WORKERS", "0"),
        ("MODELWRIGHT_TRUSTED_KEYS", "ssh-rsa AAAA"),
        ("MODELWRIGHT_SIGNATURE_REQUIRED", "true"),
        ("MODELWRIGHT_WORKERS", "1.5"),
        ("MODELWRIGHT_RESYNC_SECONDS", "5"),
        ("MODELWRIGHT_HEALTH_PORT", "-1"),
        ("MODELWRIGHT_LOG_LEVEL", "loud"),
        ("MODELWRIGHT_LOG_FORMAT", "xml"),
        ("MODELWRIGHT_IMAGE_PULL_POLICY", "Sometimes"),
        ("MODELWRIGHT_TRACING_ENDPOINT", "collector:4318"),
        ("MODELWRIGHT_TRACING_ENDPOINT", "grpc://collector:4317"),
        ("MODELWRIGHT_TRACING_ENDPOINT", "http://"),
        ("MODELWRIGHT_TRACING_ENDPOINT", "http://user:secret@collector"),
        ("MODELWRIGHT_TRACING_ENDPOINT", "http://collector /x"),
        ("MODELWRIGHT_METRICS_FROM", "prometheus"),
        ("MODELWRIGHT_METRICS_FROM", "{}"),
        ("MODELWRIGHT_METRICS_FROM", "[1]"),
        ("MODELWRIGHT_NETWORK_POLICIES", "no"),
        ("MODELWRIGHT_SERVING_IMAGE", ""),
        ("MODELWRIGHT_TRAINING_IMAGE", ""),
        ("MODELWRIGHT_FEAST_IMAGE", ""),
    ],
)
def test_a_mistake_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        settings.from_environment({**IMAGES, variable: text})
