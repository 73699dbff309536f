"""Questions to a running node: is this component well, is the node ready, do names resolve."""

import http.client
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from tests.cluster.api import Api, ApiError, Json
from tests.cluster.settings import ClusterError, Settings

_API_NAME = "kubernetes.default.svc.cluster.local"


def answers(url: str, *, timeout: float = 5) -> bool:
    """Tell whether a health check answers 200. The components' own certificates are not checked."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.netloc, context=context, timeout=timeout
        )
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def node_problem(api: Api, settings: Settings, *, since: datetime | None = None) -> str:
    """Return why no pod could run, empty if one could. A node's report from before `since` is not believed."""
    try:
        node = api.get(f"/api/v1/nodes/{settings.name}")
        account = api.get("/api/v1/namespaces/default/serviceaccounts/default")
    except (OSError, ApiError) as error:
        return f"the API server does not answer: {error}"
    if account is None:
        return "the namespace default has no service account yet"
    return _report_problem(node, since) if node else "the kubelet has not registered the node"


def _report_problem(node: Json, since: datetime | None) -> str:
    ready = next((item for item in node["status"].get("conditions", ()) if item["type"] == "Ready"), None)
    if ready is None or ready["status"] != "True":
        return f"the node is not ready: {ready['message'] if ready else 'no report yet'}"
    if since and datetime.fromisoformat(ready["lastHeartbeatTime"]) < since:
        return "the kubelet has not reported since its start"
    if any(taint["key"] == "node.kubernetes.io/not-ready" for taint in node["spec"].get("taints", ())):
        return "the node still carries the taint not-ready"
    return ""


def dns_problem(settings: Settings) -> str:
    """Return why the API server's name does not resolve to its Service's address, empty if it does."""
    name = b"".join(bytes([len(label)]) + label.encode() for label in _API_NAME.split(".")) + b"\0"
    identifier = os.urandom(2)
    query = identifier + struct.pack(">5H", 0x0100, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        try:
            client.sendto(query, (settings.node_ip, 53))
            answer = client.recv(512)
        except OSError as error:
            return f"DNS does not answer: {error}"
    if answer[:2] != identifier or socket.inet_aton(settings.api_service_ip) not in answer:
        return f"DNS does not know {_API_NAME}"
    return ""


def wait_until_well(problem: Callable[[], str], *, deadline: float, hint: str) -> None:
    """Wait until there is no problem.

    Raises:
        ClusterError: there still is one at the deadline; the message carries it and the hint.
    """
    end = time.monotonic() + deadline
    while found := problem():
        if time.monotonic() > end:
            message = f"{found}; {hint}"
            raise ClusterError(message)
        time.sleep(0.05)
