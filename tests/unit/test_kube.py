"""The port to the API server, against a server of our own: what is sent, and what answers become."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from modelwright_operator import naming
from modelwright_operator.cluster.kube import Kube
from modelwright_operator.errors import ClusterUnavailable, Conflict, NamespaceTerminating, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Raw = dict[str, Any]


@dataclass
class Server:
    """Answers with what it was given, and remembers what it was asked."""

    port: int = 0
    answers: list[web.Response] = field(default_factory=list[web.Response])
    asked: list[tuple[str, str, dict[str, str], str, Any]] = field(default_factory=list[Any])

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.text()
        kind = request.headers.get("Content-Type", "")
        parsed = json.loads(body) if body else None
        self.asked.append((request.method, request.path, dict(request.query), kind, parsed))
        return self.answers.pop(0) if self.answers else web.json_response({"metadata": {"name": "a"}})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
async def kube(server: Server) -> AsyncIterator[Kube]:
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{server.port}"
    made = Kube(client.ApiClient(configuration), 5.0)
    yield made
    await made.close()


MANIFEST: Raw = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "churn", "namespace": "team", "uid": "u", "labels": {}, "annotations": {}},
    "spec": {"ports": []},
}
SERVICE = "/api/v1/namespaces/team/services/churn"


async def test_reading(server: Server, kube: Kube) -> None:
    assert await kube.get(naming.MODEL_VERSIONS, "team", "v") == {"metadata": {"name": "a"}}
    [(method, path, query, _, _)] = server.asked
    assert (method, path, query) == ("GET", "/apis/modelwright.dev/v1alpha1/namespaces/team/modelversions/v", {})
    assert kube.requests == 1


async def test_lists_come_page_by_page(server: Server, kube: Kube) -> None:
    server.answers = [
        web.json_response({"metadata": {"continue": "next"}, "items": [{"metadata": {"name": "a"}}]}),
        web.json_response({"metadata": {}, "items": [{"metadata": {"name": "b"}}]}),
    ]
    listed = [raw async for raw in kube.list(naming.JOBS, None, "a=b")]
    assert listed == [{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}} for name in "ab"]
    assert [asked[2] for asked in server.asked] == [
        {"limit": "500", "labelSelector": "a=b"},
        {"limit": "500", "labelSelector": "a=b", "continue": "next"},
    ]
    assert server.asked[0][1] == "/apis/batch/v1/jobs"


@pytest.mark.parametrize("force", [True, False])
async def test_applying(server: Server, kube: Kube, *, force: bool) -> None:
    await kube.apply(naming.SERVICES, MANIFEST, force=force)
    [(method, path, query, kind, body)] = server.asked
    assert (method, path, kind, body) == ("PATCH", SERVICE, "application/apply-patch+yaml", MANIFEST)
    assert query == {"fieldManager": "modelwright", "force": str(force).lower()}


async def test_a_status_is_applied_on_the_version_it_was_decided_on(server: Server, kube: Kube) -> None:
    metadata = {"name": "churn", "namespace": "team", "resourceVersion": "7"}
    await kube.apply_status(naming.DEPLOYMENTS, metadata, {"replicas": 1})
    [(method, path, query, kind, body)] = server.asked
    assert (method, kind) == ("PATCH", "application/apply-patch+yaml")
    assert path == "/apis/modelwright.dev/v1alpha1/namespaces/team/modeldeployments/churn/status"
    assert query == {"fieldManager": "modelwright", "force": "true"}
    assert body["metadata"] == metadata
    assert body["status"] == {"replicas": 1}
    assert (body["apiVersion"], body["kind"]) == ("modelwright.dev/v1alpha1", "Deployment")


async def test_deleting_names_the_uid(server: Server, kube: Kube) -> None:
    await kube.delete(naming.WORKLOADS, "team", "churn-1", "u")
    [(method, path, _, _, body)] = server.asked
    assert (method, path) == ("DELETE", "/apis/apps/v1/namespaces/team/deployments/churn-1")
    assert body["preconditions"] == {"uid": "u"}
    assert body["propagationPolicy"] == "Background"


async def test_putting_a_child_back_names_the_version(server: Server, kube: Kube) -> None:
    await kube.replace(naming.SERVICES, {**MANIFEST, "metadata": {**MANIFEST["metadata"], "resourceVersion": "7"}})
    [(method, path, _, kind, body)] = server.asked
    assert (method, path, kind) == ("PATCH", SERVICE, "application/json-patch+json")
    assert {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"} in body
    assert {"op": "replace", "path": "/spec", "value": {"ports": []}} in body


async def test_leases_and_events(server: Server, kube: Kube) -> None:
    lease: Raw = {"metadata": {"name": "l", "namespace": "system", "resourceVersion": "7"}, "spec": {}}
    await kube.get_lease("system", "l")
    await kube.put_lease(lease)
    await kube.create_event("team", {"note": "n"})
    path = "/apis/coordination.k8s.io/v1/namespaces/system/leases/l"
    assert [asked[:2] for asked in server.asked] == [
        ("GET", path),
        ("PUT", path),
        ("POST", "/apis/events.k8s.io/v1/namespaces/team/events"),
    ]
    assert server.asked[1][4] == lease


async def test_behind_a_closed_fence_nothing_is_written_but_the_lease(server: Server, kube: Kube) -> None:
    kube.fence(lambda: False)
    for write in (
        kube.apply(naming.SERVICES, MANIFEST, force=True),
        kube.replace(naming.SERVICES, {**MANIFEST, "metadata": {**MANIFEST["metadata"], "resourceVersion": "1"}}),
        kube.apply_status(naming.MODEL_VERSIONS, {"name": "v", "namespace": "team"}, {}),
        kube.delete(naming.SERVICES, "team", "churn", "u"),
        kube.create_event("team", {"type": "Normal"}),
    ):
        with pytest.raises(ClusterUnavailable, match="not sent"):
            await write
    assert not server.asked
    await kube.get(naming.SERVICES, "team", "churn")
    await kube.put_lease({"metadata": {"namespace": "system", "name": "lease"}})
    assert [asked[0] for asked in server.asked] == ["GET", "PUT"]


def status(code: int, message: str, **headers: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message}, status=code, headers=headers)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(status(404, "not found"), NotFound, id="404"),
        pytest.param(status(409, "the object has been modified"), Conflict, id="409"),
        pytest.param(status(422, "metadata.uid: Invalid value: uid is immutable"), Conflict, id="422 for another uid"),
        pytest.param(status(422, "spec.replicas: Invalid value"), Refused, id="422"),
        pytest.param(status(403, "forbidden"), Refused, id="403"),
        pytest.param(
            status(403, "unable to create new content in namespace team because it is being terminated"),
            NamespaceTerminating,
            id="403, namespace going",
        ),
        pytest.param(status(400, "bad"), Refused, id="400"),
        pytest.param(status(413, "too large"), Refused, id="413"),
        pytest.param(
            status(500, "failed to create typed patch object (…): field not declared"), Refused, id="500, typed patch"
        ),
        pytest.param(status(500, "etcdserver: leader changed"), ClusterUnavailable, id="500"),
        pytest.param(status(401, "token expired"), ClusterUnavailable, id="401"),
        pytest.param(status(429, "slow down"), ClusterUnavailable, id="429"),
        pytest.param(web.Response(status=502, text="<html>bad gateway</html>"), ClusterUnavailable, id="502, no JSON"),
        pytest.param(web.Response(status=503, text="[]"), ClusterUnavailable, id="503, no Status"),
        pytest.param(web.Response(text="<html>a proxy's page</html>"), ClusterUnavailable, id="200, no JSON"),
    ],
)
async def test_answers_become_our_errors(
    server: Server, kube: Kube, answer: web.Response, error: type[Exception]
) -> None:
    server.answers = [answer]
    with pytest.raises(error):
        await kube.apply(naming.SERVICES, MANIFEST, force=True)


async def test_a_refusal_names_the_child_and_the_servers_words(server: Server, kube: Kube) -> None:
    server.answers = [status(403, "cannot create services")]
    with pytest.raises(Refused, match="cannot create services") as caught:
        await kube.apply(naming.SERVICES, MANIFEST, force=True)
    assert (caught.value.kind, caught.value.name, caught.value.code) == ("Service", "churn", 403)


async def test_being_asked_to_wait_is_heard(server: Server, kube: Kube) -> None:
    server.answers = [status(429, "slow down", **{"Retry-After": "5"})]
    with pytest.raises(ClusterUnavailable) as caught:
        await kube.get(naming.JOBS, "team", "a")
    assert caught.value.retry_after == 5


async def test_no_server_is_unavailable(server: Server) -> None:
    configuration = client.Configuration()
    configuration.host = "http://127.0.0.1:9"
    kube = Kube(client.ApiClient(configuration), 5.0)
    with pytest.raises(ClusterUnavailable, match="GET"):
        await kube.get(naming.JOBS, "team", "a")
    await kube.close()
    assert server.asked == []


async def test_a_log_is_read_from_its_end_and_never_whole(server: Server, kube: Kube) -> None:
    server.answers = [web.Response(body=b"\xff line\n" + b"x" * 100_000)]
    log = await kube.log_tail("team", "churn-x1", "train")
    assert log.startswith("\ufffd line\n")
    assert len(log.encode()) < 33_000
    [(method, path, query, _, _)] = server.asked
    assert (method, path) == ("GET", "/api/v1/namespaces/team/pods/churn-x1/log")
    assert query == {"container": "train", "tailLines": "50", "limitBytes": "32768"}


async def test_a_log_that_is_gone_is_not_found(server: Server, kube: Kube) -> None:
    server.answers = [status(404, "pods churn-x1 not found")]
    with pytest.raises(NotFound):
        await kube.log_tail("team", "churn-x1", "train")


async def test_the_last_event_of_a_reason_is_found(server: Server, kube: Kube) -> None:
    events = [
        {"message": "old", "lastTimestamp": "2026-03-01T12:00:00Z"},
        {"message": "new", "series": {"lastObservedTime": "2026-03-01T12:09:00.000000Z"}},
        {"message": "older", "eventTime": "2026-03-01T11:00:00.000000Z", "lastTimestamp": None},
    ]
    server.answers = [web.json_response({"metadata": {}, "items": events}), web.json_response({"items": []})]
    assert await kube.last_event("team", "u", "FailedCreate") == "new"
    assert await kube.last_event("team", "u", "FailedCreate") is None
    path, query = server.asked[0][1:3]
    assert path == "/api/v1/namespaces/team/events"
    assert query == {"fieldSelector": "involvedObject.uid=u,reason=FailedCreate", "limit": "500"}
