"""The parts of the cluster tool that need no cluster."""

import tarfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cluster.api import Json
from tests.cluster.components import Component
from tests.cluster.images import find_images, full_name, write_program_archive
from tests.cluster.kind import find_engine
from tests.cluster.node import Node
from tests.cluster.processes import Process
from tests.cluster.settings import ClusterError, Settings, load_settings
from tests.cluster.storage import is_released, volume_for


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("probe", "docker.io/library/probe:latest"),
        ("team/probe:1", "docker.io/team/probe:1"),
        ("localhost/probe:1", "localhost/probe:1"),
        ("localhost:5000/probe", "localhost:5000/probe:latest"),
        ("registry.example.com/team/probe:1", "registry.example.com/team/probe:1"),
    ],
)
def test_image_names_are_completed_as_kubernetes_does(name: str, expected: str) -> None:
    assert full_name(name) == expected


def test_a_programs_image_depends_only_on_the_program(tmp_path: Path) -> None:
    program = tmp_path / "program"
    found: list[dict[str, str]] = []
    for number, content in enumerate((b"same", b"same", b"other")):
        program.write_bytes(content)
        archive = tmp_path / f"{number}.tar"
        write_program_archive(program, "localhost/program:1", archive)
        tool, images = find_images(str(archive))
        assert tool == "archive"
        found.append(images)
    assert found[0] == found[1] != found[2]
    assert (tmp_path / "0.tar").read_bytes() == (tmp_path / "1.tar").read_bytes()
    with tarfile.open(tmp_path / "0.tar") as archive_file:
        assert "layer.tar" in archive_file.getnames()


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not an archive")
    with pytest.raises(ClusterError, match="not an image archive"):
        find_images(str(file))
    with pytest.raises(ClusterError, match="no image archive"):
        find_images(str(tmp_path / "absent"))


@pytest.mark.parametrize(("exit_code", "expected"), [(0, "docker"), (1, None)])
def test_a_client_without_its_engine_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int, expected: str | None
) -> None:
    client = tmp_path / "docker"
    client.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tests.cluster.commands.SEARCH_PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_engine() == expected


@pytest.mark.parametrize("index", ["16", "-1", "x"])
def test_a_wrong_index_is_refused(monkeypatch: pytest.MonkeyPatch, index: str) -> None:
    monkeypatch.setenv("MODELWRIGHT_CLUSTER_INDEX", index)
    with pytest.raises(ClusterError, match="MODELWRIGHT_CLUSTER_INDEX"):
        load_settings()


def test_clusters_share_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    networks: set[str] = set()
    for index in range(16):
        monkeypatch.setenv("MODELWRIGHT_CLUSTER_INDEX", str(index))
        settings = load_settings()
        networks |= {settings.node_network, settings.pod_network, settings.service_network}
    assert len(networks) == 48


def claim(**changes: object) -> Json:
    spec = {
        "storageClassName": "standard",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    annotations = {"volume.kubernetes.io/selected-node": "node"}
    metadata: Json = {"namespace": "team", "name": "models", "uid": "1-2", "annotations": annotations}
    return {"metadata": metadata | changes, "spec": spec}


def test_a_claim_whose_pod_has_a_node_gets_a_volume(tmp_path: Path) -> None:
    volume = volume_for(claim(), tmp_path)
    assert volume is not None
    assert volume["spec"]["claimRef"]["uid"] == "1-2"
    assert volume["spec"]["hostPath"]["path"] == str(tmp_path / "pvc-1-2")
    assert not is_released(volume)
    assert is_released(volume | {"status": {"phase": "Released"}})
    foreign = {"metadata": {"name": "theirs"}, "status": {"phase": "Released"}}
    assert not is_released(foreign)


@pytest.mark.parametrize("changes", [{"annotations": {}}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}])
def test_a_claim_without_a_pod_or_a_future_gets_none(tmp_path: Path, changes: Json) -> None:
    assert volume_for(claim(**changes), tmp_path) is None


def test_a_claim_of_another_class_or_with_a_volume_gets_none(tmp_path: Path) -> None:
    for key, value in (("storageClassName", "fast"), ("volumeName", "pvc-1-2")):
        asked = claim()
        asked["spec"][key] = value
        assert volume_for(asked, tmp_path) is None


@pytest.mark.parametrize(("seconds_without_it", "fails"), [(1, False), (4, True)])
def test_a_starting_component_has_ended_only_if_it_is_missing_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds_without_it: int, *, fails: bool
) -> None:
    part = Component("etcd", "etcd", (), health="http://127.0.0.1:1/readyz")
    process = Process(1, 1, "etcd", "etcd", 0.0)
    scans: list[list[Process]] = [[process], *[[]] * seconds_without_it, [process]]
    slept: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: float(len(slept)), sleep=slept.append)  # a second for each scan
    monkeypatch.setattr("tests.cluster.node.time", clock)
    monkeypatch.setattr("tests.cluster.node.answers", lambda _url: not scans)
    monkeypatch.setattr("tests.cluster.node.find_processes", lambda _settings: scans.pop(0))
    node = Node(Settings(index=0, state=tmp_path, cache=tmp_path), print)
    with pytest.raises(ClusterError, match="etcd ended") if fails else nullcontext():
        node._wait([part])
