"""What the chart installs: nothing more than asked for, and nothing an admin has to repair."""

import json
import re
from collections import Counter
from typing import Any

import pytest
import yaml

from modelwright_operator.settings import from_environment
from modelwright_server.contract.signing import parse_keys
from tests.chart.conftest import CHART, NAMESPACE, Helm, Manifest, Render, environment, of_kind
from tests.cluster.settings import REPOSITORY
from tests.support.reachability import Endpoint, reaches

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
KEPT = {"helm.sh/resource-policy": "keep"}


def _pem(body: str) -> str:
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"


KEY = _pem(
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbz7cz8wqPaDgkVMJXZ8Je8tyF69VukWM5XUWYtisjJwMjp3C1F8e8+OnJwu08Kz9HlXG574WZPSQtkMHDmblsQ=="
)
OTHER_KEY = _pem(
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE3ns22PZ44wMyWYr5bB08kpgLH/3l8ZiBC5q40UOBeULRYMBH982TF3Zo2ppTXH4WHCMaMAQ4rlrxuLxRzKCecw=="
)
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def test_lint_has_nothing_to_say(helm: Helm) -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_default_release(render: Render) -> None:
    assert Counter(manifest["kind"] for manifest in render()) == {
        "ServiceAccount": 1,
        "CustomResourceDefinition": 3,
        "ClusterRole": 5,
        "ClusterRoleBinding": 1,
        "Role": 1,
        "RoleBinding": 1,
        "Lease": 1,
        "Deployment": 1,
        "Service": 1,
        "NetworkPolicy": 1,
        "ValidatingAdmissionPolicy": 6,
        "ValidatingAdmissionPolicyBinding": 6,
    }


def test_everything_namespaced_is_in_the_releases_namespace(render: Render) -> None:
    cluster_wide = {
        *("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    }
    namespaces = {m["metadata"].get("namespace") for m in render(replicas=2) if m["kind"] not in cluster_wide}
    assert namespaces == {NAMESPACE}


def test_the_operator_understands_its_environment(render: Render) -> None:
    digest = f"sha256:{'0' * 64}"
    manifests = render(
        images={
            "operator": {"tag": "1"},
            "serving": {"repository": "example.org/serving", "tag": "2"},
            "training": {"repository": "example.org:5000/training", "tag": "3", "digest": digest},
            "feast": {"tag": "4"},
        },
        imagePullPolicy="Always",
        watchNamespaces=["a", "b"],
        resyncSeconds=86400,
        workers=3,
        storage={
            "defaultUri": "s3://shared/models/",
            "defaultEndpoint": "https://minio.example.org",
            "defaultRegion": "eu-test-1",
            "defaultSecretName": "models",
        },
        logging={"level": "debug", "format": "console"},
        tracing={"endpoint": "http://collector.telemetry.svc:4318"},
        serving={"upgradeAutomatically": True},
        signing={"trustedKeys": [KEY, OTHER_KEY], "required": True, "secretName": "keys"},
    )
    settings = from_environment(environment(manifests))
    assert settings.serving_image == "example.org/serving:2"
    assert settings.training_image == f"example.org:5000/training@{digest}"
    assert settings.feast_image == "localhost/modelwright/feast:4"
    assert settings.image_pull_policy == "Always"
    assert settings.watch_namespaces == ("a", "b")
    assert (settings.resync_seconds, settings.workers) == (86400, 3)
    assert settings.default_storage_uri == "s3://shared/models/"
    assert settings.default_storage_endpoint == "https://minio.example.org"
    assert (settings.default_storage_region, settings.default_storage_secret_name) == ("eu-test-1", "models")
    assert (settings.log_level, settings.log_format) == ("debug", "console")
    assert settings.tracing_endpoint == "http://collector.telemetry.svc:4318"
    assert len(parse_keys(settings.trusted_keys)) == 2
    assert (settings.signature_required, settings.signing_secret_name) == (True, "keys")
    assert settings.serving_upgrade_automatically
    (lease,) = of_kind(manifests, "Lease")
    assert (settings.lease_namespace, settings.lease_name) == (NAMESPACE, lease["metadata"]["name"])
    assert settings.identity == "pod-name"


def test_every_variable_is_a_setting(render: Render) -> None:
    known = {f"MODELWRIGHT_{name.upper()}" for name in from_environment(environment(render())).__dataclass_fields__}
    assert environment(render()).keys() <= known | {"POD_NAME"}


def test_an_empty_tag_is_the_charts_version(render: Render) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    assert environment(render())["MODELWRIGHT_SERVING_IMAGE"] == f"localhost/modelwright/serving:{version}"


def test_ports_and_probes_agree_with_the_operator(render: Render) -> None:
    manifests = render()
    settings = from_environment(environment(manifests))
    (deployment,) = of_kind(manifests, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"health": settings.health_port, "metrics": settings.metrics_port}
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in probes.values()} == {"health"}
    assert [probe["path"] for probe in probes.values()] == ["/healthz", "/healthz", "/readyz"]


def test_the_operators_pod_is_restricted(render: Render) -> None:
    (deployment,) = of_kind(render(), "Deployment")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & pod.keys()
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]


def test_selectors_survive_an_upgrade(render: Render) -> None:
    """A Deployment's selector cannot change, so nothing in it may depend on the version."""
    manifests = render("--set", "podLabels.team=ml", replicas=2)
    (deployment,) = of_kind(manifests, "Deployment")
    (budget,) = of_kind(manifests, "PodDisruptionBudget")
    (service,) = of_kind(manifests, "Service")
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert set(selector) == {f"app.kubernetes.io/{part}" for part in ("name", "instance", "component")}
    assert selector == budget["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["template"]["metadata"]["labels"]["team"] == "ml"


@pytest.mark.parametrize(("replicas", "budgets"), [(0, 0), (1, 0), (2, 1)])
def test_a_disruption_budget_only_where_it_helps(render: Render, replicas: int, budgets: int) -> None:
    assert len(of_kind(render(replicas=replicas), "PodDisruptionBudget")) == budgets


OPERATOR = Endpoint(
    NAMESPACE,
    {
        "app.kubernetes.io/name": "modelwright",
        "app.kubernetes.io/instance": "release",
        "app.kubernetes.io/component": "operator",
    },
)
PROMETHEUS, ANYBODY = Endpoint("metrics", {"app": "prometheus"}), Endpoint("team", {"app": "web"})


@pytest.mark.parametrize(
    ("metrics_from", "let_in"),
    [
        ([], {9090: [PROMETHEUS, ANYBODY, OPERATOR]}),
        ([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "metrics"}}}], {9090: [PROMETHEUS]}),
    ],
    ids=["everybody", "some"],
)
def test_the_operators_pods_are_reached_for_metrics_alone(
    render: Render, metrics_from: list[Manifest], let_in: dict[int, list[Endpoint]]
) -> None:
    manifests = render(networkPolicy={"metricsFrom": metrics_from})
    policies = of_kind(manifests, "NetworkPolicy")
    for port in (8080, 9090, 9443):
        reaching = [peer for peer in (PROMETHEUS, ANYBODY, OPERATOR) if reaches(policies, peer, OPERATOR, port)]
        assert reaching == let_in.get(port, [])
    assert reaches(policies, ANYBODY, Endpoint(NAMESPACE, {"app": "else"}), 80)
    # What the operator is told of it; it lets itself in, since it reads there what was counted of canaries.
    rules = json.loads(from_environment(environment(manifests)).metrics_from or "[]")
    serving_pod: Manifest = {"metadata": {"namespace": "team"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    serving_pod["spec"]["ingress"] = [{"from": rules}]
    for peer in (*let_in[9090], OPERATOR):
        assert reaches([serving_pod], peer, Endpoint("team"), 8082)


def test_network_policies_can_be_left_to_somebody_else(render: Render) -> None:
    manifests = render(networkPolicy={"enabled": False, "deployments": False})
    assert not of_kind(manifests, "NetworkPolicy")
    assert from_environment(environment(manifests)).network_policies is False


def test_a_service_monitor_only_where_the_cluster_knows_it(render: Render) -> None:
    known = ("--api-versions", "monitoring.coreos.com/v1/ServiceMonitor")
    assert not of_kind(render(), "ServiceMonitor")
    assert not of_kind(render(*known, metrics={"serviceMonitor": {"enabled": False}}), "ServiceMonitor")
    (monitor,) = of_kind(render(*known, metrics={"serviceMonitor": {"labels": {"a": "b"}}}), "ServiceMonitor")
    assert monitor["metadata"]["labels"]["a"] == "b"
    (service,) = of_kind(render(), "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert monitor["spec"]["endpoints"][0]["honorLabels"] is True, "else conditions are in the operator's namespace"


def test_the_webhooks_address_is_mounted_and_nowhere_else(render: Render) -> None:
    assert "MODELWRIGHT_WEBHOOK_FILE" not in environment(render())
    manifests = render(alerts={"webhook": {"secretName": "chat", "secretKey": "slack", "events": "All"}})
    settings = from_environment(environment(manifests))
    (deployment,) = of_kind(manifests, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (mount,), (volume,) = pod["containers"][0]["volumeMounts"], pod["volumes"]
    assert volume["secret"] == {"secretName": "chat", "items": [{"key": "slack", "path": "url"}]}
    assert settings.webhook_file == f"{mount['mountPath']}/url"
    assert settings.webhook_events == "All"
    assert mount["readOnly"] is True


def test_alerting_rules_only_where_they_are_asked_for(render: Render) -> None:
    assert not of_kind(render(), "PrometheusRule")
    (rule,) = of_kind(render(alerts={"prometheusRule": {"enabled": True, "labels": {"a": "b"}}}), "PrometheusRule")
    assert rule["metadata"]["labels"]["a"] == "b"
    assert rule["spec"] == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))


def test_a_dashboard_only_where_it_is_asked_for(render: Render) -> None:
    assert not of_kind(render(), "ConfigMap")
    (found,) = of_kind(render(dashboard={"enabled": True, "labels": {"a": "b"}}), "ConfigMap")
    assert {"a": "b", "grafana_dashboard": "1"}.items() <= found["metadata"]["labels"].items()
    written = (CHART / "files" / "dashboards" / "modelwright.json").read_text(encoding="utf-8")
    assert json.loads(found["data"]["modelwright.json"]) == json.loads(written)


def test_an_old_cluster_is_refused(helm: Helm) -> None:
    done = helm("template", "release", str(CHART), "--kube-version", "1.32.9")
    assert done.returncode != 0
    assert "1.33" in done.stderr


def test_the_notes_name_what_was_installed(helm: Helm) -> None:
    place = ("--namespace", NAMESPACE, "--dry-run=client")
    done = helm("install", "release", str(CHART), *place, watchNamespaces=["a", "b"])
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert "the namespaces a, b" in notes
    assert f"--namespace {NAMESPACE} rollout status deployment/release-modelwright" in notes


class TestCustomResourceDefinitions:
    def expected(self) -> dict[str, Manifest]:
        files = sorted((REPOSITORY / "crds").glob("*.yaml"))
        loaded = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
        return {crd["metadata"]["name"]: crd for crd in loaded}

    def test_they_are_the_generated_ones(self, render: Render) -> None:
        rendered = {crd["metadata"]["name"]: crd for crd in of_kind(render(), "CustomResourceDefinition")}
        assert {name: crd["spec"] for name, crd in rendered.items()} == {
            name: crd["spec"] for name, crd in self.expected().items()
        }

    def test_the_charts_copies_are_current(self) -> None:
        copies = {file.name: file.read_bytes() for file in (CHART / "files" / "crds").iterdir()}
        assert copies == {file.name: file.read_bytes() for file in (REPOSITORY / "crds").iterdir()}, "run `make crds`"

    @pytest.mark.parametrize(("keep", "annotations"), [(True, {"helm.sh/resource-policy": "keep"}), (False, None)])
    def test_they_outlive_the_release_if_asked(self, render: Render, keep: bool, annotations: object) -> None:
        crds = of_kind(render(crds={"keep": keep}), "CustomResourceDefinition")
        assert all(crd["metadata"].get("annotations") == annotations for crd in crds)

    def test_they_can_be_left_out(self, render: Render) -> None:
        assert not of_kind(render(crds={"enabled": False}), "CustomResourceDefinition")


class TestValues:
    @pytest.mark.parametrize(
        ("values", "named"),
        [
            ({"replcias": 2}, "replcias"),
            ({"images": {"operator": {"name": "x"}}}, "name"),
            ({"images": {"serving": {"digest": "sha256:1"}}}, "digest"),
            ({"images": {"training": {"repository": ""}}}, "repository"),
            ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy"),
            ({"logging": {"level": "loud"}}, "level"),
            ({"storage": {"defaultUri": "ftp://models/"}}, "defaultUri"),
            ({"tracing": {"endpoint": "collector:4318"}}, "endpoint"),
            ({"tracing": {"endpoint": "http://me:secret@collector"}}, "endpoint"),
            ({"tracing": {"enabled": True}}, "enabled"),
            ({"watchNamespaces": ["A"]}, "watchNamespaces"),
            ({"watchNamespaces": "a"}, "watchNamespaces"),
            ({"networkPolicy": {"metricsFrom": [{}]}}, "metricsFrom"),
            ({"networkPolicy": {"metricsFrom": [{"podselector": {}}]}}, "podselector"),
            ({"networkPolicy": {"metricsFrom": [{"podSelector": {}, "ipBlock": {"cidr": "::/0"}}]}}, "metricsFrom"),
            ({"workers": 0}, "workers"),
            ({"metrics": {"serviceMonitor": {"on": True}}}, "on"),
            ({"crds": {"kept": True}}, "kept"),
            ({"monitor": {"admissionPolicy": "no"}}, "admissionPolicy"),
            ({"audit": {"export": {"uri": "pvc://claim/"}}}, "uri"),
            ({"audit": {"export": {"schedule": "daily"}}}, "schedule"),
            ({"resources": {"limit": {}}}, "limit"),
            ({"signing": {"required": True}}, "signing.trustedKeys"),
            ({"signing": {"trustedKeys": ["key"]}}, "trustedKeys"),
            ({"signing": {"trustedKeys": [KEY.replace("PUBLIC", "PRIVATE")]}}, "trustedKeys"),
            ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels"),
        ],
        ids=str,
    )
    def test_a_wrong_value_is_refused_by_name(self, helm: Helm, values: dict[str, Any], named: str) -> None:
        done = helm("template", "release", str(CHART), "--kube-version", "1.35.0", **values)
        assert done.returncode != 0
        assert named in done.stderr

    def test_the_schema_is_closed_everywhere(self) -> None:
        def open_objects(schema: Any, path: str) -> list[str]:
            if isinstance(schema, list):
                return [found for item in schema for found in open_objects(item, path)]
            if not isinstance(schema, dict):
                return []
            found = [path] if "properties" in schema and schema.get("additionalProperties") is not False else []
            return found + [name for key, value in schema.items() for name in open_objects(value, f"{path}/{key}")]

        # `properties` itself may be the name of a map of properties; none of our values is called so.
        assert open_objects(SCHEMA, "") == []

    def test_every_value_has_a_default_a_schema_and_a_comment(self) -> None:
        assert set(SCHEMA["properties"]) - {"global"} == set(VALUES)
        lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
        keys = {i for i, line in enumerate(lines) if re.match(r"(  )?\w+:", line)}
        bare = {lines[i].strip() for i in keys if not lines[i - 1].lstrip().startswith("#")}
        assert not bare
