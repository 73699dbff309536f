"""A TrainingJob each night, by Airflow 3: created, waited for without holding a worker, and its version handed on.

Put it into the folder of DAGs. It needs the package `kubernetes`, which the provider cncf.kubernetes brings, and an
account that may create, get and list trainingjobs.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import dag, task
from kubernetes import client, config

NAMESPACE = "team"
GROUP, VERSION, PLURAL = "modelwright.dev", "v1alpha1", "trainingjobs"
TRAINING_JOB: dict[str, Any] = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": "TrainingJob",
    "metadata": {"generateName": "churn-nightly-"},
    "spec": {
        "model": "churn",
        "data": [{"name": "all", "uri": "sklearn://breast_cancer"}],
        "target": "target",
        "trainer": {
            "sklearn": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"max_iter": 500}}
        },
        "gates": [{"metric": "roc_auc", "min": 0.9}],
        "seed": 7,
    },
}


def cluster() -> Any:
    """Return the API of custom resources, as the pod's own account or as your kubeconfig."""
    try:
        config.load_incluster_config()
    except config.ConfigException:
        config.load_kube_config()
    return client.CustomObjectsApi()


def conditions(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a job's conditions by their types."""
    return {item["type"]: item for item in job.get("status", {}).get("conditions", [])}


@dag(
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
)
def churn_nightly() -> None:
    """Train, wait, and tell which version came of it."""

    @task
    def train() -> str:
        made = cluster().create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, TRAINING_JOB)
        return str(made["metadata"]["name"])

    @task.sensor(poke_interval=30, timeout=7200, mode="reschedule")
    def ended(name: str) -> bool:
        job = cluster().get_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, name)
        return bool(
            {"Complete", "Failed"} & {kind for kind, item in conditions(job).items() if item["status"] == "True"}
        )

    @task(retries=0)
    def version(name: str) -> str:
        job = cluster().get_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, name)
        failed = conditions(job).get("Failed")
        if failed is not None:
            raise RuntimeError(f"{name}: {failed['reason']}: {failed['message']}")
        return str(job["status"]["modelVersion"])

    name = train()
    ended(name) >> version(name)


churn_nightly()
