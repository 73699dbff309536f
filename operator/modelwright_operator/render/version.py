"""The ModelVersion that a training run ends in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelwright_operator import api, naming
from modelwright_operator.render.training import parameters_digest, storage
from modelwright_training import contract

if TYPE_CHECKING:
    from modelwright_operator.decide.training import Trained
    from modelwright_operator.render.common import Manifest
    from modelwright_operator.settings import Settings


def champion_status(champion: contract.Champion | None) -> api.ChampionStatus | None:
    """Return the champion as the status has it."""
    if champion is None:
        return None
    return api.ChampionStatus(version=champion.version, uri=champion.uri, digest=champion.digest)


def _features(found: contract.FeaturesResult | None) -> api.JoinedFeatures | None:
    if found is None:
        return None
    return api.JoinedFeatures(
        names=list(found.names),
        count=found.count,
        registry_digest=found.registry,
        sources_digest=found.sources,
        feast_version=found.feast,
    )


def resolved(job: api.TrainingJob, trained: Trained, image: str | None) -> api.Resolved:
    """Return what the run was made of."""
    split = trained.split
    own = [api.OwnImage(stage=stage, image=name) for stage, name in sorted(trained.own_images.items())]
    # The query of a web address may be a signature, which is nobody else's business.
    uris = {
        data.name: uri.partition("?")[0] if uri.startswith("https://") else uri
        for data in job.spec.data
        for uri in (data.uri or "",)
    }
    return api.Resolved(
        data=[
            api.DataDigest(name=data.name, uri=uris.get(data.name, ""), digest=data.digest, rows=data.rows)
            for data in trained.fetch.data
        ],
        features=_features(trained.features),
        prepared=[api.PreparedDigest(name=data.name, digest=data.digest, rows=data.rows) for data in split.data]
        if split and split.data
        else None,
        image=image,
        image_digest=trained.image_digest,
        own_images=own or None,
        parameters_digest=parameters_digest(job),
        champion=champion_status(trained.champion),
    )


def _schema(schema: contract.Schema | None) -> api.Schema | None:
    if schema is None:
        return None

    def tensor(item: contract.Tensor) -> api.Tensor:
        return api.Tensor(
            name=item.name,
            datatype=item.datatype,
            shape=list(item.shape),
            columns=list(item.columns) if item.columns is not None else None,
            nullable=item.nullable,
        )

    return api.Schema(
        inputs=[tensor(item) for item in schema.inputs],
        outputs=[tensor(item) for item in schema.outputs],
        task="Classification" if schema.task is contract.Task.CLASSIFICATION else "Regression",
    )


def metrics_of(trained: Trained) -> list[api.VersionMetric]:
    """Return what was measured of the model, with what it was measured on."""
    held_out = [
        api.VersionMetric(name=metric.name, value=metric.value, low=metric.low, high=metric.high)
        for metric in trained.evaluate.metrics
    ]
    timed = trained.latency.metrics if trained.latency is not None else ()
    return [*held_out, *(api.VersionMetric(name=item.name, value=item.value, dataset="latency") for item in timed)]


def model_version_of(job: api.TrainingJob, trained: Trained, image: str | None, settings: Settings) -> Manifest:
    """Return the ModelVersion of a run. It has no owner: a version outlives the job that made it.

    Raises:
        pydantic.ValidationError: the pod reported what no ModelVersion can hold.
    """
    made_of = resolved(job, trained, image)
    stored = storage(job, settings)
    spec = api.ModelVersionSpec(
        model=job.spec.model,
        artifact=api.Artifact(
            uri=trained.publish.uri,
            digest=trained.publish.digest,
            endpoint=stored.endpoint,
            region=stored.region,
            secret_name=stored.secret_name,
        ),
        schema=_schema(trained.publish.schema),
        metrics=metrics_of(trained),
        provenance=api.Provenance(
            training_job=api.JobReference(name=job.metadata.name, uid=job.metadata.uid),
            requested_by=job.spec.requested_by,
            source=job.spec.source,
            data=[api.DataReference(**data.model_dump()) for data in made_of.data],
            features=api.FeaturesReference(**made_of.features.model_dump()) if made_of.features else None,
            prepared=[api.PreparedReference(**data.model_dump()) for data in made_of.prepared or ()] or None,
            image=image,
            image_digest=made_of.image_digest,
            own_images=[api.OwnImageReference(**item.model_dump()) for item in made_of.own_images or ()] or None,
            parameters_digest=made_of.parameters_digest,
            seed=job.spec.seed,
            trials=len(job.status.tuning.trials) if job.status.tuning is not None else None,
        ),
        card=job.spec.card,
    )
    body: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        "apiVersion": naming.API_VERSION,
        "kind": naming.MODEL_VERSION,
        "metadata": {
            "name": naming.version_name(job.spec.model, trained.publish.digest),
            "namespace": job.metadata.namespace,
            "labels": {naming.LABEL_MANAGED_BY: naming.MANAGED_BY, naming.LABEL_MODEL: job.spec.model},
        },
        "spec": body,
    }
