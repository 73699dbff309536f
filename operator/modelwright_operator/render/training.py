"""The batch Job of one training attempt.

Stages are init containers, so that each sees only what it needs: fetch and publish the stores, train and evaluate the
data alone; evaluate, which unpickles the estimator, can write nothing but the artifact, and publish sees nothing else.
Latency, which runs the model, gets a sample of rows from evaluate and hands a measurement to publish through a small
volume of their own: it cannot write to the artifact. Stages in images of the user's own: see `own_code`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kubernetes.aio.client import models as k8s

from modelwright_operator import api, naming
from modelwright_operator.render import common, own_code, space
from modelwright_operator.render.serving import default_resources
from modelwright_server.contract.capture import PREDICTION_TIME
from modelwright_training import contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator.decide.observed import Job
    from modelwright_operator.settings import Settings

DEFAULT_RESOURCES: Final = api.Resources(
    requests=api.ResourceList(cpu="100m", memory="512Mi"), limits=api.ResourceList(memory="2Gi")
)
_ONLY_MEASURED: Final = frozenset({"latency", "champion"})  # parts of spec.evaluation that no model depends on
_PLACE: Final = frozenset({"uri", "endpoint", "region", "secretName"})  # of a store; what is there has a digest
_MEASURING: Final = {  # who shares that volume, and who only reads it
    contract.Stage.EVALUATE: False,
    contract.Stage.LATENCY: False,
    contract.Stage.PUBLISH: True,
}
_SLICE_ROWS: Final = 200  # of a group that is measured
_TMP: Final = own_code.TMP
_SIGNING: Final = "signing"


def storage(job: api.TrainingJob, settings: Settings) -> api.Storage:
    """Return where the model is published: as the job says, else as the operator's settings do for its namespace."""
    if job.spec.storage is not None:
        return job.spec.storage
    store = settings.store(job.metadata.namespace)
    return api.Storage.model_construct(
        uri=store.uri,
        endpoint=store.endpoint or None,
        region=store.region or None,
        secret_name=store.secret_name or None,
    )


def signing_secret(job: api.TrainingJob, settings: Settings) -> str | None:
    """Return the Secret with the key that the model is signed with: as the job says, else as the settings do."""
    return job.spec.signing.secret_name if job.spec.signing is not None else settings.signing_secret_name or None


def parameters_digest(job: api.TrainingJob) -> str:
    """Return the digest of everything, but the data, that decides what the model becomes."""
    spec = job.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    spec["evaluation"] = {key: value for key, value in spec["evaluation"].items() if key not in _ONLY_MEASURED}
    for own in (spec.get("prepare"), spec.get("trainer", {}).get("container")):
        if own is not None:
            own.pop("resources", None)  # of which no model depends
    always = {key: spec.get(key) for key in ("target", "task", "columns", "trainer", "evaluation", "seed")}
    # What came later counts only where it is given: the digests of what was before stay.
    later = {key: spec[key] for key in ("features", "positiveLabel", "prepare", "schema", "tuning") if key in spec}
    if "features" in later:  # where they lie decides nothing either
        feast: dict[str, Any] = later["features"]["feast"]
        later["features"] = {"feast": {key: value for key, value in feast.items() if key not in _PLACE}}
    if "tuning" in later:  # how many trials run at once decides nothing
        later["tuning"] = {key: value for key, value in later["tuning"].items() if key != "parallelism"}
    return naming.full_hash(always | later)


def _own_code(own: api.OwnCode | None) -> contract.OwnCode | None:
    if own is None:
        return None
    run = own.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"image", "resources"})
    return contract.OwnCode(own.image, naming.full_hash(run))


def _trainer(job: api.TrainingJob) -> contract.Trainer:
    """Return how the pod trains: in the user's own image, or as `space` says."""
    if job.spec.trainer is not None and job.spec.trainer.container is not None:
        return contract.Trainer(container=_own_code(job.spec.trainer.container))
    return contract.Trainer(space.trainer(job))


def _features(source: api.FeatureSource | None) -> contract.FeatureSource | None:
    if source is None:
        return None
    feast = source.feast
    return contract.FeatureSource(
        contract.Feast(
            uri=feast.uri,
            timestamp=feast.timestamp,
            service=feast.service,
            features=tuple(feast.features or ()),
            full_feature_names=feast.full_feature_names,
            access=access(feast),
        )
    )


def _schema(columns: Sequence[api.ColumnSchema]) -> tuple[contract.ColumnSchema, ...]:
    return tuple(
        contract.ColumnSchema(
            name=column.name,
            type=contract.ColumnType(column.type),
            nullable=column.nullable,
            categories=tuple(column.categories) if column.categories else None,
            min=column.min,
            max=column.max,
        )
        for column in columns
    )


def access(store: api.Store) -> contract.StoreAccess | None:
    """Return how a store is reached, None where the spec says nothing of it."""
    given = contract.StoreAccess(store.endpoint, store.region, store.secret_name)
    return given if given != contract.StoreAccess() else None


def _data(data: api.Data, job: api.TrainingJob) -> contract.DataSource:
    if data.captured is None:
        return contract.DataSource(data.name, data.uri or "", data.digest, access(data))
    columns = job.spec.columns
    time = columns.time if columns is not None and columns.time == PREDICTION_TIME else None
    rows = contract.Captured(job.spec.target, time)
    return contract.DataSource(data.name, data.uri or f"captured:{data.captured.deployment}", None, access(data), rows)


def job_config(
    job: api.TrainingJob,
    settings: Settings,
    *,
    what: space.Round | None = None,
    champion: contract.Champion | None = None,
) -> contract.JobConfig:
    """Return what the pod is told of the TrainingJob: the best parameters of a search, or the trials of one."""
    spec = job.spec
    columns = spec.columns
    latency = _latency(job)
    return contract.JobConfig(
        namespace=job.metadata.namespace,
        training_job=job.metadata.name,
        uid=job.metadata.uid,
        model=spec.model,
        data=tuple(_data(data, job) for data in spec.data),
        target=spec.target,
        task=contract.Task(spec.task),
        columns=contract.Columns(
            drop=tuple((columns.drop if columns else None) or ()),
            categorical=tuple((columns.categorical if columns else None) or ()),
            time=columns.time if columns else None,
            group=columns.group if columns else None,
            weight=columns.weight if columns else None,
        ),
        trainer=_trainer(job),
        evaluation=contract.Evaluation(
            holdout=spec.evaluation.holdout,
            holdout_percent=spec.evaluation.holdout_percent or 25,
            slices=tuple(spec.evaluation.slices or ()),
            min_slice_rows=(spec.evaluation.min_slice_rows or _SLICE_ROWS) if spec.evaluation.slices else None,
        ),
        seed=spec.seed,
        storage=contract.Storage(storage(job, settings).uri, access(storage(job, settings))),
        source=contract.Source(
            repository=spec.source.repository if spec.source else None,
            commit=spec.source.commit if spec.source else None,
        ),
        gates=tuple(contract.Gate(**gate.model_dump()) for gate in spec.gates or ()),
        schema=_schema(spec.schema_) if spec.schema_ else None,
        positive_label=spec.positive_label,
        tuning=space.told(job, what),
        latency=contract.Latency(latency.threads, latency.rows) if latency else None,
        prepare=_own_code(spec.prepare),
        features=_features(spec.features),
        champion=champion if what is None else None,
        signing=signing_secret(job, settings) if what is None else None,
    )


def _latency(job: api.TrainingJob) -> api.Latency | None:
    """Return how the model is timed: as asked for, or by the defaults where a gate needs it."""
    needed = any(gate.metric in contract.TIMED_METRICS for gate in job.spec.gates or ())
    return job.spec.evaluation.latency or (api.Latency() if needed else None)


def _scratch(stage: contract.Stage) -> str:
    """Return the scratch volume of a stage of ours: one that runs the user's code leaves nothing to the others there.

    HOME is in it, where Python looks for packages and start-up code of the user. So does one that reads what libraries
    other than ours made of foreign bytes.
    """
    return own_code.tmp_volume(stage) if stage in {contract.Stage.EVALUATE, contract.Stage.FEATURES} else "tmp"


def _mounts(
    config: contract.JobConfig, all_claims: Sequence[str], data_claims: Sequence[str], store_claims: Sequence[str]
) -> dict[contract.Stage, list[k8s.V1VolumeMount]]:
    workspace, artifact = contract.DEFAULT_WORKSPACE, contract.DEFAULT_ARTIFACT_DIR
    mounts = {
        contract.Stage.FETCH: [
            common.mount("workspace", workspace),
            *common.claim_mounts(all_claims, data_claims, read_only=True),
        ],
        contract.Stage.FEATURES: [],
        contract.Stage.SPLIT: [common.mount("workspace", workspace)],
        contract.Stage.TRAIN: [common.mount("workspace", workspace)],
        contract.Stage.EVALUATE: [
            common.mount("workspace", workspace, read_only=True),
            common.mount("artifact", artifact),
        ],
        contract.Stage.LATENCY: [common.mount("artifact", artifact, read_only=True)],
        contract.Stage.PUBLISH: [
            common.mount("artifact", artifact, read_only=True),
            *common.claim_mounts(all_claims, store_claims, read_only=False),
        ],
    }
    if config.latency is not None:
        for stage, read_only in _MEASURING.items():
            mounts[stage].append(common.mount("measures", contract.DEFAULT_MEASURES_DIR, read_only=read_only))
    if config.signing is not None:
        mounts[contract.Stage.PUBLISH].append(common.mount(_SIGNING, contract.DEFAULT_SIGNING_DIR, read_only=True))
    return mounts


def _signing_key(name: str) -> k8s.V1Volume:
    """Return the volume with the key; where it is missing the stage says so: a pod that never starts could not."""
    items = [k8s.V1KeyToPath(key=contract.KEY_FILE, path=contract.KEY_FILE)]
    source = k8s.V1SecretVolumeSource(secret_name=name, items=items, default_mode=0o440, optional=True)
    return k8s.V1Volume(name=_SIGNING, secret=source)


def _resources(job: api.TrainingJob, stage: contract.Stage) -> k8s.V1ResourceRequirements:
    if stage is contract.Stage.LATENCY:
        latency = _latency(job)
        return common.resources(latency.resources if latency else None, default_resources())
    return common.resources(job.spec.resources, DEFAULT_RESOURCES)


def pod_spec(job: api.TrainingJob, settings: Settings, config: contract.JobConfig) -> k8s.V1PodSpec:
    """Return the pod that goes through all stages."""
    champion = [config.champion] if config.champion is not None else []
    feast = [config.features.feast] if config.features is not None else []
    data_claims = common.claims(
        [*(of.uri for of in config.data), *(of.uri for of in champion), *(of.uri for of in feast)]
    )
    store_claims = common.claims([config.storage.uri])
    all_claims = tuple(sorted({*data_claims, *store_claims}))
    mounts = _mounts(config, all_claims, data_claims, store_claims)
    secrets = {
        contract.Stage.FETCH: [
            *(data.secret_name for data in job.spec.data),
            *(of.access.secret for of in champion if of.access is not None),
            *(of.access.secret for of in feast if of.access is not None),
        ],
        contract.Stage.PUBLISH: [storage(job, settings).secret_name],
    }
    environment = common.variables({contract.ENV_JOB: config.to_json(), "HOME": _TMP})
    own = own_code.containers(job, DEFAULT_RESOURCES)
    containers = [
        own.get(stage)
        or k8s.V1Container(
            name=stage.value,
            image=settings.feast_image if stage is contract.Stage.FEATURES else settings.training_image,
            image_pull_policy=settings.image_pull_policy,
            command=["python", "-m", "modelwright_training", stage.value],
            env=environment,
            env_from=common.secrets(secrets.get(stage, ())),
            resources=_resources(job, stage),
            security_context=common.container_security(),
            termination_message_policy="FallbackToLogsOnError",
            volume_mounts=[
                *mounts[stage],
                *own_code.mounts(config, stage),
                common.mount(_scratch(stage), _TMP),
            ],
        )
        for stage in config.stages
    ]
    mounted = [mount for item in containers for mount in item.volume_mounts or ()]
    scratch = sorted({mount.name for mount in mounted if mount.mount_path == _TMP})
    return k8s.V1PodSpec(
        init_containers=containers[:-1],
        containers=containers[-1:],
        restart_policy="Never",
        termination_grace_period_seconds=5,
        volumes=[
            common.empty_dir("workspace", "10Gi"),
            common.empty_dir("artifact", "2Gi"),
            *([common.empty_dir("measures", "64Mi")] if config.latency is not None else []),
            *([_signing_key(config.signing)] if config.signing is not None else []),
            *own_code.volumes(config),
            *(common.empty_dir(name, "1Gi") for name in scratch),
            *common.claim_volumes(all_claims),
        ],
        **common.every_pod(settings, job.spec.pod),
    )


def batch_job(  # noqa: PLR0913  # what a Job is made of, and what is to become of it
    job: api.TrainingJob,
    attempt: int,
    settings: Settings,
    observed: Job | None = None,
    *,
    expire: bool = False,
    champion: contract.Champion | None = None,
) -> common.Manifest:
    """Return the Job of an attempt; `expire` lets Kubernetes remove it, which is safe once its result is in status.

    The champion matters only where the Job is made: of one that was observed the template is kept.
    """
    labels = {
        **naming.owner_labels(naming.TRAINING_JOB, job.metadata.name),
        naming.LABEL_ATTEMPT: str(attempt),
        naming.LABEL_MODEL: job.spec.model,
    }
    user_labels = dict(job.spec.pod.labels or {}) if job.spec.pod else {}
    queued = {naming.LABEL_QUEUE: job.spec.scheduling.queue_name} if job.spec.scheduling else {}
    name = naming.job_name(job.metadata.name, job.metadata.uid, str(attempt))
    model = k8s.V1Job(
        metadata=common.child_metadata(
            job,
            naming.TRAINING_JOB,
            name,
            {naming.LABEL_ATTEMPT: str(attempt), naming.LABEL_MODEL: job.spec.model, **queued},
        ),
        spec=k8s.V1JobSpec(
            active_deadline_seconds=job.spec.active_deadline_seconds,
            backoff_limit=0,
            completions=1,
            parallelism=1,
            suspend=None if queued else job.spec.suspend and not expire,  # a queue's Job is started by the queue
            ttl_seconds_after_finished=job.spec.ttl_seconds_after_finished if expire else None,
            pod_failure_policy=k8s.V1PodFailurePolicy(rules=[common.ignore_disruptions()]),
            template=k8s.V1PodTemplateSpec(
                metadata=k8s.V1ObjectMeta(labels={**user_labels, **labels}),
                spec=pod_spec(job, settings, job_config(job, settings, champion=champion)),
            ),
        ),
    )
    return common.manifest(model, "batch/v1", "Job", observed)
