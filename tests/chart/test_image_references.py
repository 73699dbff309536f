"""Where images come from, and that nothing else names another place."""

import json
import re
from typing import Any

import pytest
import yaml

from modelwright_operator.settings import from_environment
from tests.chart.conftest import CHART, Render, environment, of_kind
from tests.chart.test_tenant_values import TENANT

MIRROR = "registry.example.org:5000/mirror"
DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        pytest.param({}, "localhost/modelwright/serving:{version}", id="as it is"),
        pytest.param({"imageRegistry": MIRROR}, MIRROR + "/modelwright/serving:{version}", id="localhost"),
        pytest.param(
            {"imageRegistry": MIRROR, "images": {"serving": {"repository": "ghcr.io/a/serving", "tag": "7"}}},
            f"{MIRROR}/a/serving:7",
            id="another registry",
        ),
        pytest.param(
            {"imageRegistry": "mirror", "images": {"serving": {"repository": "quay.io:443/a/b/serving"}}},
            "mirror/a/b/serving:{version}",
            id="a port",
        ),
        pytest.param(
            {"imageRegistry": MIRROR, "images": {"serving": {"repository": "team/serving"}}},
            MIRROR + "/team/serving:{version}",
            id="no registry",
        ),
        pytest.param(
            {"imageRegistry": MIRROR, "images": {"serving": {"digest": DIGEST, "tag": "7"}}},
            f"{MIRROR}/modelwright/serving@{DIGEST}",
            id="a digest",
        ),
        pytest.param(
            {"images": {"serving": {"repository": "a/serving", "digest": DIGEST}}}, f"a/serving@{DIGEST}", id="own"
        ),
    ],
)
def test_where_an_image_comes_from(render: Render, values: dict[str, Any], reference: str) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    assert from_environment(environment(render(**values))).serving_image == reference.format(version=version)


def test_offline_nothing_names_another_registry_or_address(render: Render) -> None:
    """With everything that can be switched on, switched on."""
    manifests = render(
        *("--api-versions", "monitoring.coreos.com/v1/ServiceMonitor"),
        imageRegistry=MIRROR,
        imagePullSecrets=[{"name": "mirror"}],
        podImagePullSecrets=["mirror", "other"],
        replicas=2,
        alerts={"prometheusRule": {"enabled": True}, "webhook": {"secretName": "chat"}},
        dashboard={"enabled": True},
        approval={"requiredFrom": "Low", "fourEyes": True},
        tenants=[TENANT],
        crds={"enabled": False},  # whose descriptions have examples of addresses
    )
    settings = from_environment(environment(manifests))
    images = (settings.serving_image, settings.training_image, settings.feast_image)
    assert all(image.startswith(f"{MIRROR}/modelwright/") for image in images)
    assert settings.image_pull_secrets == ("mirror", "other")
    (deployment,) = of_kind(manifests, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert [item["image"].startswith(MIRROR) for item in pod["containers"]] == [True]
    assert pod["imagePullSecrets"] == [{"name": "mirror"}]
    (dashboard,) = of_kind(manifests, "ConfigMap")
    rest = json.dumps([item for item in manifests if item is not dashboard])
    assert not re.findall(r"https?://(?!monitoring)[a-z]", rest)
    assert "localhost/" not in rest
