"""One authority for the cluster and a certificate for each of its parties, made with openssl."""

import base64
import json
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.settings import Settings

_DAYS = "3650"
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
# Python 3.13 and newer verify strictly: they ask for the key identifiers and the authority's key usage.
_AUTHORITY = """
[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
_PARTY = """
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def ensure_certificates(settings: Settings) -> None:
    """Create every certificate, key and kubeconfig, unless all of them are there."""
    complete = settings.pki / "complete"
    if complete.exists():
        return
    settings.pki.mkdir(parents=True, exist_ok=True)
    settings.pki.chmod(0o700)
    _create_authority(settings.pki)
    api_names = [
        "DNS:kubernetes",
        "DNS:kubernetes.default",
        "DNS:kubernetes.default.svc",
        "DNS:kubernetes.default.svc.cluster.local",
        "DNS:localhost",
        "IP:127.0.0.1",
        f"IP:{settings.api_service_ip}",
        f"IP:{settings.node_ip}",
    ]
    _issue(settings.pki, "apiserver", "/CN=kube-apiserver", api_names)
    node_names = [f"DNS:{settings.name}", f"IP:{settings.node_ip}"]
    _issue(settings.pki, "kubelet", f"/O=system:nodes/CN=system:node:{settings.name}", node_names)
    _issue(settings.pki, "front-proxy", "/CN=front-proxy")
    _issue(settings.pki, "admin", "/O=system:masters/CN=admin")
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        _issue(settings.pki, name, f"/CN=system:{name}")
    key = settings.pki / "service-account.key"
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", key])
    run(["openssl", "pkey", "-in", key, "-pubout", "-out", settings.pki / "service-account.pub"])
    for name in ("kubelet", "admin", "kube-controller-manager", "kube-scheduler", "kube-proxy"):
        _write_kubeconfig(settings, name, settings.pki / f"{name}.kubeconfig")
    _write_kubeconfig(settings, "admin", settings.kubeconfig)
    complete.touch()


def _create_authority(pki: Path) -> None:
    config = pki / "authority.cnf"
    config.write_text(_AUTHORITY, encoding="utf-8")
    output: list[str | Path] = ["-keyout", pki / "ca.key", "-out", pki / "ca.crt"]
    run(["openssl", "req", "-x509", *_KEY, "-config", config, "-subj", "/CN=modelwright", "-days", _DAYS, *output])


def _issue(pki: Path, name: str, subject: str, alternatives: list[str] | None = None) -> None:
    extensions = pki / f"{name}.cnf"
    lines = [_PARTY, f"subjectAltName = {', '.join(alternatives)}" if alternatives else ""]
    extensions.write_text("\n".join(lines), encoding="utf-8")
    request = pki / f"{name}.csr"
    run(["openssl", "req", "-new", *_KEY, "-subj", subject, "-keyout", pki / f"{name}.key", "-out", request])
    authority: list[str | Path] = ["-CA", pki / "ca.crt", "-CAkey", pki / "ca.key", "-CAcreateserial", "-days", _DAYS]
    output: list[str | Path] = ["-extfile", extensions, "-out", pki / f"{name}.crt"]
    run(["openssl", "x509", "-req", "-in", request, *authority, *output])


def _write_kubeconfig(settings: Settings, name: str, path: Path) -> None:
    def data(file: str) -> str:
        return base64.b64encode((settings.pki / file).read_bytes()).decode()

    user = {"client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")}
    cluster = {"server": settings.server, "certificate-authority-data": data("ca.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": settings.name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": settings.name, "context": {"cluster": settings.name, "user": name}}],
        "current-context": settings.name,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")
