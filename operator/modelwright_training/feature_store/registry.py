# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# (Feast comes without types, and is in the image of this stage only.)
"""What a Feast repository's registry has of what is asked for.

Of the repository only feature_store.yaml and the registry's file are read, as data. A view that needs code is refused:
its functions are pickled, and whoever loads them runs them.
"""

import hashlib
import posixpath
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import yaml
from feast.protos.feast.core.FeatureView_pb2 import FeatureView
from feast.protos.feast.core.FeatureViewProjection_pb2 import FeatureViewProjection
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.protos.feast.types.Value_pb2 import ValueType
from google.protobuf.message import DecodeError

from modelwright_training.contract import Feast
from modelwright_training.feature_store.rows import refuse

CONFIGURATION: Final = "feature_store.yaml"
SCHEMA_VERSIONS: Final = ("", "1")  # of registries that this release of Feast knows
_MAX_BYTES = 64 << 20  # of the registry; Feast keeps it in memory
_MAX_CONFIGURATION_BYTES = 1 << 20
_NO_ENTITY = "__dummy"  # Feast's name for the entity of views without one
_NAMES_SHOWN = 10
_TYPES = {
    ValueType.STRING: pa.string(),
    ValueType.INT32: pa.int32(),
    ValueType.INT64: pa.int64(),
    ValueType.DOUBLE: pa.float64(),
    ValueType.FLOAT: pa.float32(),
    ValueType.BOOL: pa.bool_(),
}


@dataclass(frozen=True)
class Repository:
    """A repository's files and what its registry says.

    Attributes:
        folder: where its files are.
        uri: where they came from.
        project: name of the Feast project.
        registry: as it was read.
        digest: sha256 of the registry's file.
    """

    folder: Path
    uri: str
    project: str
    registry: Registry = field(repr=False)
    digest: str

    def file(self, address: str, subject: str) -> Path:
        """Return the place of a path or address that the repository names.

        Raises:
            StageError: FeaturesInvalid, when it is outside the repository or not there.

        """
        below = f"{self.uri.rstrip('/')}/"
        inside = posixpath.normpath(address.removeprefix(below))
        if "://" in inside or ":/" in inside or posixpath.isabs(inside) or inside.split("/")[0] in {"..", "."}:
            refuse(
                f"{subject} is {address!r}, outside the repository {self.uri}; only what lies in its folder is read:"
                " give a path relative to feature_store.yaml and run `feast apply`"
            )
        path = self.folder / inside
        if not path.exists():
            refuse(f"{subject} is {address!r}, which is not in the repository {self.uri}; put it there")
        return path


@dataclass(frozen=True)
class View:
    """A feature view as it is asked for.

    Attributes:
        name: of the view, or its alias.
        features: names and types of its features, in order.
        join_keys: names of the training data's columns.
        renamed: what a column of the source is called here, in order of application.
        proto: the view's definition in the registry.
    """

    name: str
    features: dict[str, Any]
    join_keys: tuple[str, ...]
    renamed: tuple[dict[str, str], ...]
    proto: FeatureView = field(repr=False)

    @property
    def path(self) -> str:
        """What the registry says of where its file is."""
        return str(self.proto.spec.batch_source.file_options.uri)

    @property
    def time(self) -> str:
        """The column of the file with the time from which on a row holds."""
        return str(self.proto.spec.batch_source.timestamp_field)

    @property
    def created(self) -> str:
        """The column of the file with the time at which a row was written; empty: there is none."""
        return str(self.proto.spec.batch_source.created_timestamp_column)

    @property
    def ttl_seconds(self) -> float:
        """How long a row holds, in seconds; 0: for ever."""
        return float(self.proto.spec.ttl.ToTimedelta().total_seconds())

    def column(self, feature: str, *, full: bool) -> str:
        """Return the name of a feature's column, as Feast gives it."""
        return f"{self.name}__{feature}" if full else feature


def opened(folder: Path, uri: str) -> Repository:
    """Read a repository's configuration and registry.

    Raises:
        StageError: FeaturesInvalid, when it is none, or none that can be read here.

    """
    path = folder / CONFIGURATION
    if not path.is_file():
        refuse(
            f"features.feast.uri: {uri} is no Feast repository, it has no {CONFIGURATION}; name the folder that does"
        )
    if path.stat().st_size > _MAX_CONFIGURATION_BYTES:
        refuse(f"{CONFIGURATION} of {uri} is larger than 1 MiB")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        refuse(f"{CONFIGURATION} of {uri} is no YAML: {' '.join(str(error).split())[:200]}")
    project, given = (settings.get("project"), settings.get("registry")) if isinstance(settings, dict) else (None, None)
    kind = given.get("registry_type", "file") if isinstance(given, dict) else "file"
    address = given.get("path", "") if isinstance(given, dict) else given or "data/registry.db"
    if not isinstance(project, str) or not isinstance(address, str):
        refuse(f"{CONFIGURATION} of {uri} must have a project and a registry, both texts")
    if kind != "file":
        refuse(f"the registry of {uri} is of the type {kind!r}; only a registry file in the repository is read")
    bare = Repository(folder, uri, project, Registry(), "")
    registry = bare.file(address, f"the registry in {CONFIGURATION}")
    if not registry.is_file() or registry.stat().st_size > _MAX_BYTES:
        refuse(f"the registry {address!r} of {uri} is no file of at most {_MAX_BYTES >> 20} MiB")
    content = registry.read_bytes()
    return Repository(folder, uri, project, _decoded(content, address), f"sha256:{hashlib.sha256(content).hexdigest()}")


def _decoded(content: bytes, address: str) -> Registry:
    found = Registry()
    try:
        found.ParseFromString(content)
    except DecodeError:
        refuse(f"{address!r} is no registry of Feast's; run `feast apply`, with `registry` naming a file")
    if found.registry_schema_version not in SCHEMA_VERSIONS:
        refuse(
            f"the registry {address!r} has the schema version {found.registry_schema_version!r}, which this release of"
            " Feast does not know; write it with an older one, or use a newer image"
        )
    return found


def requested(repository: Repository, asked: Feast) -> list[View]:
    """Return the views that are asked for, each once, in the order in which they are first named.

    Raises:
        StageError: FeaturesInvalid, naming what is not there or cannot be used.

    """
    projections = _of_service(repository, asked.service) if asked.service else _of_names(asked.features)
    views = [_view(repository, projection) for projection in projections]
    names = [view.column(feature, full=asked.full_feature_names) for view in views for feature in view.features]
    if twice := next((name for name in names if names.count(name) > 1), None):
        refuse(f"two features are called {twice!r}; set features.feast.fullFeatureNames, or leave one out")
    return views


def _of_service(repository: Repository, name: str) -> list[FeatureViewProjection]:
    services = {
        item.spec.name: item for item in repository.registry.feature_services if _ours(repository, item.spec.project)
    }
    if name not in services:
        refuse(f"features.feast.service: there is no feature service {name!r}; {_some(services)}")
    return list(services[name].spec.features)


def _of_names(features: Sequence[str]) -> list[FeatureViewProjection]:
    """Return one projection for each view; the features' definitions are added once the view is known."""
    found: dict[str, FeatureViewProjection] = {}
    for reference in features:
        view, _, feature = reference.partition(":")
        projection = found.setdefault(view, FeatureViewProjection(feature_view_name=view))
        projection.feature_columns.add(name=feature)
    return list(found.values())


def _view(repository: Repository, projection: FeatureViewProjection) -> View:
    name = projection.feature_view_name
    subject = f"the feature view {name!r}"
    _check_kind(repository, name)
    found = next(
        (
            item.spec
            for item in repository.registry.feature_views
            if item.spec.name == name and _ours(repository, item.spec.project)
        ),
        None,
    )
    if found is None:
        views = (item.spec.name for item in repository.registry.feature_views if _ours(repository, item.spec.project))
        refuse(f"there is no feature view {name!r}; {_some(views)}")
    if found.HasField("feature_transformation") or len(found.source_views):
        refuse(f"{subject} computes its features by code, which is not run here; materialize them into a view of files")
    if found.disabled:
        refuse(f"{subject} is disabled; enable it, or leave it out")
    source = found.batch_source
    if not source.HasField("file_options") or source.file_options.file_format.HasField("delta_format"):
        refuse(f"the source of {subject} is no FileSource of Parquet; only files in the repository are read")
    types = {item.name: item.value_type for item in found.features}
    wanted = [item.name for item in projection.feature_columns]
    if unknown := [feature for feature in wanted if feature not in types]:
        refuse(f"{subject} has no feature {unknown[0]!r}; {_some(types)}")
    if odd := [feature for feature in wanted if types[feature] not in _TYPES]:
        kind = ValueType.Enum.Name(types[odd[0]]) if types[odd[0]] in ValueType.Enum.values() else types[odd[0]]
        refuse(f"the feature {odd[0]!r} of {subject} is a {kind}; features are numbers, truth values or texts")
    join_keys = [_join_key(repository, entity, subject) for entity in found.entities if entity != _NO_ENTITY]
    mapped = dict(projection.join_key_map)
    return View(
        name=projection.feature_view_name_alias or name,
        features={feature: _TYPES[types[feature]] for feature in wanted},
        join_keys=tuple(mapped.get(key, key) for key in join_keys),
        renamed=(dict(source.field_mapping), mapped),
        proto=FeatureView(spec=found),
    )


def _check_kind(repository: Repository, name: str) -> None:
    """Refuse views that carry code."""
    kinds = {
        "an on-demand feature view": repository.registry.on_demand_feature_views,
        "a stream feature view": repository.registry.stream_feature_views,
    }
    for kind, views in kinds.items():
        if any(item.spec.name == name and _ours(repository, item.spec.project) for item in views):
            refuse(f"{name!r} is {kind}, whose code is not run here; leave it out, or compute it in spec.prepare")


def _join_key(repository: Repository, entity: str, subject: str) -> str:
    for item in repository.registry.entities:
        if item.spec.name == entity and _ours(repository, item.spec.project):
            return str(item.spec.join_key)
    return refuse(f"{subject} belongs to the entity {entity!r}, which the registry lacks; run `feast apply` again")


def _ours(repository: Repository, project: str) -> bool:
    return project == repository.project


def _some(names: Iterable[str]) -> str:
    known = sorted(names)
    shown = ", ".join(known[:_NAMES_SHOWN]) + (", …" if len(known) > _NAMES_SHOWN else "")
    return f"there are {shown}" if known else "there are none in this project; run `feast apply`"


def without_code(repository: Repository, views: Sequence[View], files: Sequence[Path]) -> Registry:
    """Return a registry that has these views alone, each read from a file of ours, and a service `view-N` for each.

    Feast gets nothing of the original but features, types and times to live: columns have the names that `View` gives
    to them, and entities are named after the join keys.
    """
    # Feast remembers what it read by the version and the address in memory, which another registry may have had before.
    clean = Registry(registry_schema_version="1", version_id=str(uuid.uuid4()))
    clean.projects.add().spec.name = repository.project
    for index, (view, path) in enumerate(zip(views, files, strict=True)):
        spec = view.proto.spec
        wanted = [item for item in spec.features if item.name in view.features]
        proto = clean.feature_views.add()
        proto.spec.name, proto.spec.project = f"view-{index}", repository.project
        proto.spec.entities.extend(view.join_keys or [_NO_ENTITY])
        for key in view.join_keys:
            proto.spec.entity_columns.add(name=key, value_type=ValueType.STRING)  # the files' own types are what counts
        proto.spec.features.extend(wanted)
        proto.spec.ttl.CopyFrom(spec.ttl)
        source = proto.spec.batch_source
        source.name, source.project, source.type = f"view-{index}", repository.project, spec.batch_source.type
        source.timestamp_field = view.time
        source.file_options.uri = str(path)
        service = clean.feature_services.add()
        service.spec.name, service.spec.project = f"view-{index}", repository.project
        service.spec.features.add(feature_view_name=f"view-{index}", feature_columns=wanted)
    for key in sorted({key for view in views for key in view.join_keys}):
        entity = clean.entities.add()
        entity.spec.name = entity.spec.join_key = key
        entity.spec.project, entity.spec.value_type = repository.project, ValueType.STRING
    return clean
