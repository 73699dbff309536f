"""What each stage of a training Job sees, and what it does not."""

from __future__ import annotations

from modelwright_operator.render import own_code
from modelwright_training import contract
from tests.golden.test_manifests import MANIFESTS


def test_stages_see_only_the_storage_they_need() -> None:
    pod = MANIFESTS["training-job-full"]()["spec"]["template"]["spec"]
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["volumes"]
        if "emptyDir" not in volume
    }
    seen = {
        container["name"]: sorted(
            (claims[mount["name"]], mount.get("readOnly", False))
            for mount in container["volumeMounts"]
            if mount["name"] in claims
        )
        for container in (*pod["initContainers"], *pod["containers"])
    }
    assert seen == {
        "fetch": [("lake", True)],
        "train": [],
        "evaluate": [],
        "latency": [],
        "publish": [("registry", False)],
    }


def test_what_runs_foreign_code_shares_no_scratch_folder() -> None:
    """HOME is in /tmp, from where Python takes code: the one stage's must not become the next one's."""
    pod = MANIFESTS["training-job-container"]()["spec"]["template"]["spec"]
    scratch = {
        container["name"]: mount["name"]
        for container in (*pod["initContainers"], *pod["containers"])
        for mount in container["volumeMounts"]
        if mount["mountPath"] == own_code.TMP
    }
    for foreign in ("prepare", "train", "evaluate"):
        assert [name for name, volume in scratch.items() if volume == scratch[foreign]] == [foreign]
    assert set(scratch) == {"fetch", "prepare", "split", "train", "evaluate", "publish"}


def test_an_own_trainer_sees_neither_the_holdout_nor_what_others_see() -> None:
    """The workspace has all rows and the targets of the holdout."""
    pod = MANIFESTS["training-job-container"]()["spec"]["template"]["spec"]
    mounts = {
        container["name"]: {
            (mount["name"], mount["mountPath"], mount.get("readOnly", False)) for mount in container["volumeMounts"]
        }
        for container in (*pod["initContainers"], *pod["containers"])
    }
    assert mounts["train"] == {
        ("to-train", "/workspace/data", True),
        ("from-train", "/workspace/model", False),
        ("tmp-train", own_code.TMP, False),
    }
    assert ("from-train", "/handover/from-train", True) in mounts["evaluate"]
    assert ("to-train", "/handover/to-train", False) in mounts["split"]
    for stage in ("fetch", "prepare", "publish"):
        assert not {"to-train", "from-train"} & {name for name, _, _ in mounts[stage]}
    [own] = [container for container in pod["initContainers"] if container["name"] == "train"]
    told = {variable["name"]: variable["value"] for variable in own["env"]}
    assert told["MODELWRIGHT_OUTPUT_DIR"] == "/workspace/model"
    assert contract.ENV_JOB not in told


def test_own_code_sees_its_folders_only_and_is_told_nothing_of_the_stores() -> None:
    pod = MANIFESTS["training-job-prepared"]()["spec"]["template"]["spec"]
    [own] = [container for container in pod["initContainers"] if container["name"] == "prepare"]
    assert {(mount["mountPath"], mount.get("readOnly", False)) for mount in own["volumeMounts"]} == {
        ("/workspace/data", True),
        ("/workspace/prepared", False),
        (own_code.TMP, False),
    }
    assert own["env"] == [
        {"name": "HOME", "value": "/home/own"},
        {"name": "LEVEL", "value": "3"},
        {"name": "MODELWRIGHT_DATA_DIR", "value": "/workspace/data"},
        {"name": "MODELWRIGHT_MODEL", "value": "churn"},
        {"name": "MODELWRIGHT_OUTPUT_DIR", "value": "/workspace/prepared"},
        {"name": "MODELWRIGHT_SEED", "value": "0"},
        {"name": "MODELWRIGHT_TARGET", "value": "target"},
        {"name": "MODELWRIGHT_TASK", "value": "Auto"},
    ]
