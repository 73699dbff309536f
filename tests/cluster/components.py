"""The node's components: their order, command lines, configuration files and health checks."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.prerequisites import cni_folder
from tests.cluster.settings import BINARIES, REPOSITORY, ClusterError, Settings

CONTAINERD = "/run/containerd/containerd.sock"
"""Address of the node's own containerd, inside the node's mounts."""
PAUSE_IMAGE = "localhost/modelwright-pause:1"
_CAP_SYS_RESOURCE = 24
_MAXIMUM_PODS = 500


@dataclass(frozen=True)
class Component:
    """A process of the node. `health` is the URL that answers 200 when it works, empty if it has none.

    A component is started, and its health judged, when every one of an earlier stage is well.
    """

    name: str
    program: str
    arguments: tuple[str, ...]
    health: str = ""
    stage: int = 2


def components(settings: Settings) -> list[Component]:
    """Return the node's components in the order in which they start."""
    address = settings.node_ip
    return [
        Component(
            "containerd",
            "containerd",
            ("--config", str(settings.config / "containerd.toml")),
            health=f"http://{address}:1338/v1/metrics",
            stage=0,
        ),
        Component("etcd", "etcd", _etcd(settings), health=f"http://{address}:2381/readyz", stage=0),
        Component(
            "kube-apiserver",
            "kube-apiserver",
            _apiserver(settings),
            health=f"{settings.server}/readyz",
            stage=1,
        ),
        Component(
            "kube-controller-manager",
            "kube-controller-manager",
            _controller_manager(settings),
            health=f"https://{address}:10257/healthz",
        ),
        Component("kube-scheduler", "kube-scheduler", _scheduler(settings), health=f"https://{address}:10259/healthz"),
        Component("kubelet", "kubelet", _kubelet(settings), health=f"http://{address}:10248/healthz"),
        Component(
            "kube-proxy",
            "kube-proxy",
            (f"--config={settings.config / 'kube-proxy.json'}", f"--hostname-override={settings.name}"),
            health=f"http://{address}:10256/healthz",
        ),
        Component(
            "coredns", "coredns", ("-conf", str(settings.config / "Corefile")), health=f"http://{address}:8181/ready"
        ),
        Component(
            "provisioner",
            "python",
            ("-m", "tests.cluster.provisioner", str(settings.pki / "admin.kubeconfig"), str(settings.volumes)),
        ),
    ]


def command(settings: Settings, component: Component) -> list[str]:
    """Return the component's command line. Containerd is the distribution's, the provisioner Python's."""
    if component.program == "python":
        return ["env", f"PYTHONPATH={REPOSITORY}", "PYTHONDONTWRITEBYTECODE=1", sys.executable, *component.arguments]
    if component.program == "containerd":
        return [component.program, *component.arguments]
    return [str(settings.bin / component.program), *component.arguments]


def _etcd(settings: Settings) -> tuple[str, ...]:
    return (
        f"--data-dir={settings.state / 'etcd'}",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        f"--listen-metrics-urls=http://{settings.node_ip}:2381",
        "--unsafe-no-fsync",  # the data need not survive a crash of the machine
        "--log-level=warn",
    )


def _apiserver(settings: Settings) -> tuple[str, ...]:
    pki = settings.pki
    return (
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={settings.node_ip}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={settings.service_network}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'admin.crt'}",
        f"--kubelet-client-key={pki / 'admin.key'}",
        "--kubelet-preferred-address-types=InternalIP",  # the node's name does not resolve
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'service-account.pub'}",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        f"--requestheader-client-ca-file={pki / 'ca.crt'}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    )


def _controller_manager(settings: Settings) -> tuple[str, ...]:
    pki = settings.pki
    return (
        *_control_plane_client(settings, "kube-controller-manager"),
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki / 'service-account.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        f"--service-cluster-ip-range={settings.service_network}",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={settings.pod_network}",
        "--node-cidr-mask-size=22",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    )


def _scheduler(settings: Settings) -> tuple[str, ...]:
    return (*_control_plane_client(settings, "kube-scheduler"), "--kube-api-qps=200", "--kube-api-burst=400")


def _control_plane_client(settings: Settings, name: str) -> tuple[str, ...]:
    kubeconfig = settings.pki / f"{name}.kubeconfig"
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--profiling=false",
    )


def _kubelet(settings: Settings) -> tuple[str, ...]:
    return (
        f"--config={settings.config / 'kubelet.json'}",
        f"--kubeconfig={settings.pki / 'kubelet.kubeconfig'}",
        f"--hostname-override={settings.name}",
        f"--node-ip={settings.node_ip}",
        f"--root-dir={settings.state / 'kubelet'}",
        f"--cert-dir={settings.pki}",
    )


def write_configuration(settings: Settings) -> None:
    """Write the components' configuration files.

    Raises:
        ClusterError: the CNI plugins are not installed.
    """
    cni = cni_folder()
    if cni is None:
        message = "the CNI plugins are not installed: install containernetworking-plugins"
        raise ClusterError(message)
    network = settings.config / "cni"
    network.mkdir(parents=True, exist_ok=True)
    values = {
        "ROOT": str(settings.state / "containerd"),
        "SOCKET": CONTAINERD,
        "METRICS": f"{settings.node_ip}:1338",
        "PAUSE_IMAGE": PAUSE_IMAGE,
        "RESTRICT_OOM_SCORE": str(not _has_capability(_CAP_SYS_RESOURCE)).lower(),
        "CNI_PLUGINS": str(cni),
        "CNI_NETWORK": str(network),
        "NODE_IP": settings.node_ip,
        "KUBECONFIG": str(settings.pki / "admin.kubeconfig"),
    }
    for name in ("containerd.toml", "Corefile"):
        text = (BINARIES.parent / "config" / name).read_text(encoding="utf-8")
        for key, value in values.items():
            text = text.replace("{{" + key + "}}", value)
        _write(settings.config / name, text)
    _write_json(network / "10-pods.conflist", _pod_network(settings))
    _write_json(settings.config / "kubelet.json", _kubelet_configuration(settings))
    _write_json(settings.config / "kube-proxy.json", _proxy_configuration(settings))
    _write(settings.config / "resolv.conf", f"nameserver {settings.node_ip}\n")


def _pod_network(settings: Settings) -> dict[str, object]:
    """Return the CNI configuration: a routed link per pod, so that Service translation sees every packet."""
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": settings.pod_network}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [{"type": "ptp", "ipam": addresses}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return {"cniVersion": "0.4.0", "name": "modelwright", "plugins": plugins}


def _kubelet_configuration(settings: Settings) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(settings.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(settings.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(settings.pki / "kubelet.key"),
        "healthzBindAddress": settings.node_ip,
        "clusterDNS": [settings.node_ip],
        "clusterDomain": "cluster.local",
        "resolvConf": str(settings.config / "resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{settings.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "maxPods": _MAXIMUM_PODS,
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "syncFrequency": "10s",
        "makeIPTablesUtilChains": False,
        # A development machine's disk is often nearly full, which is no reason to evict.
        "evictionHard": {"memory.available": "64Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "evictionPressureTransitionPeriod": "10s",
        "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98,
        "podLogsDir": str(settings.logs / "pods"),
        "volumePluginDir": str(settings.state / "kubelet-plugins"),
    }


def _proxy_configuration(settings: Settings) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": settings.node_ip,
        "healthzBindAddress": f"{settings.node_ip}:10256",
        "metricsBindAddress": f"{settings.node_ip}:10249",
        "clusterCIDR": settings.pod_network,
        "clientConnection": {"kubeconfig": str(settings.pki / "kube-proxy.kubeconfig")},
        "conntrack": {"maxPerCore": 0, "min": 0},  # a setting of the whole machine
    }


def _write_json(path: Path, value: object) -> None:
    _write(path, json.dumps(value, indent=1))


def _write(path: Path, text: str) -> None:
    """Write a file unless it says so already: some components end when their configuration is touched."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False
