# pyright: basic
# (pyarrow comes without types.)
"""The ONNX model that a user's own image left: looked through, wired to the data's columns, and checked.

Nothing converts it, so there is nothing to compare it with but what the image says it predicted for the rows it was
trained on. Inputs and outputs get the names, types and shapes of every other model of these data.
"""

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, compose, helper, numpy_helper

from modelwright_server import graph as looked_through
from modelwright_server.rejection import ModelRejectedError
from modelwright_training import convert, handover, parity
from modelwright_training.contract import MODEL_ONNX, PREDICTIONS, Reason, Schema
from modelwright_training.convert import Converted
from modelwright_training.dataset import Dataset
from modelwright_training.errors import StageError
from modelwright_training.features import MATRIX_INPUT, Feature, Features
from modelwright_training.parity import Answers
from modelwright_training.runtime import Runtime

LEAST_OPSET = 13
_GIVEN = "given/"  # before all names of the image's own, so that none is ours
_SUMS = 1e-3  # that probabilities of a row may be off from 1
_NUMBERS = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL}
)
_SHOWN = 5

Array = npt.NDArray[Any]


def load(folder: Path, data: Dataset) -> Converted:
    """Return what the image left, with the inputs and outputs of every model of these data.

    Raises:
        StageError: ModelInvalid, saying what is wrong with it.

    """
    model = _read(folder / MODEL_ONNX)
    classes = data.classes
    try:
        model = compose.add_prefix(model, _GIVEN)
        _wire_inputs(model.graph, data.features)
        found, coded = _outputs(model.graph, classes)
        outputs = convert.name_outputs(model, found, classes, coded=coded)
        _tidy(model)
        onnx.checker.check_model(model, full_check=True)
    except (StageError, MemoryError):
        raise
    except Exception as error:
        raise _refused(problem=f"is no valid ONNX model ({' '.join(str(error).split())[:200]})") from error
    return Converted(model, Schema(convert.input_tensors(data.features), outputs, data.task))


def check(runtime: Runtime, data: Dataset) -> None:
    """Refuse answers to the holdout that are none: other classes, shares that do not sum up, numbers not finite.

    Raises:
        StageError: ModelInvalid.

    """
    said, *probabilities = runtime.predict(data.holdout.values)
    if data.classes is None:
        if not np.isfinite(said).all():
            _refuse(f"predicts {said[~np.isfinite(said)][0]} for rows of the holdout")
        return
    if unknown := sorted(set(said.tolist()) - set(data.classes.tolist())):
        _refuse(f"gives the label {unknown[0]!r}, but the classes are {_some(map(str, data.classes))}")
    for shares in probabilities:
        wrong = ~(np.abs(shares.sum(axis=1) - 1) <= _SUMS) | (shares < -_SUMS).any(axis=1)
        if wrong.any():
            _refuse(f"gives probabilities such as {shares[wrong][0].tolist()[:_SHOWN]}, which do not sum up to 1")


def compared(folder: Path, runtime: Runtime, data: Dataset) -> parity.Report | None:
    """Compare with what the image says it predicted for the rows it was trained on; None: it does not say.

    Raises:
        StageError: ParityFailed, or ModelInvalid for a file that cannot be read.

    """
    path = folder / PREDICTIONS
    if not path.is_symlink() and not path.exists():
        return None
    native = _predictions(path, data)
    rows = parity.spread(len(data.train), parity.MAX_ROWS)
    served = parity.served(runtime, data.train.values.take(rows), data.task)
    deviation = float(np.std(data.train.target)) if data.classes is None else 0.0
    differences = parity.compare(native.take(rows), served, deviation, edge=False)
    finding = parity.judged_as("training", differences, rounded=True)
    if not finding.passed:
        bad, row = int(np.sum(differences.far | differences.unlike)), int(rows[finding.worst_row])
        message = (
            f"model.onnx answers row {row} of train.parquet otherwise than {PREDICTIONS} says (by"
            f" {finding.max_difference:.3g}; {bad} of {finding.rows} rows are too far): mend the export in the image of"
            " trainer.container"
        )
        raise StageError(Reason.PARITY_FAILED, message)
    return parity.Report((finding,), ())


def _read(path: Path) -> onnx.ModelProto:
    with handover.open_plain(path, Reason.MODEL_INVALID, "train") as stream:
        content = stream.read()
    try:
        looked_through.check_bytes(content)
        model = onnx.load_model_from_string(content)
    except ModelRejectedError as error:
        raise _refused(problem=f"no server would run: {error}") from error
    except Exception as error:  # protobuf's own kinds
        raise _refused(problem="is no ONNX model") from error
    versions = {opset.domain: opset.version for opset in model.opset_import}
    version = versions.get("") or versions.get("ai.onnx")
    if version is None:
        model.opset_import.append(helper.make_opsetid("", convert.OPSETS[""]))
    elif version < LEAST_OPSET:
        _refuse(f"is of opset {version}; export it with opset {LEAST_OPSET} or a later one")
    return model


def _wire_inputs(graph: onnx.GraphProto, features: Features) -> None:
    """Feed the model's own inputs from those of the schema: a matrix of all columns, or one input each."""
    constants = {constant.name for constant in graph.initializer}
    own = {_bare(value): value for value in graph.input if value.name not in constants}
    kept = [value for value in graph.input if value.name in constants]
    nodes: list[onnx.NodeProto] = []
    if features.is_matrix and len(own) == 1:
        [value] = own.values()
        if _width(value) not in {None, len(features.all)}:
            _refuse(f"takes {_width(value)} columns in its input, but the features are {len(features.all)}")
        nodes += _fed(MATRIX_INPUT, TensorProto.FLOAT, value, texts=False)
    else:
        sources = _sources(graph, features, nodes)
        for feature, value in _by_column(own, features):
            source, element = sources[feature.column]
            texts = element == TensorProto.STRING
            nodes += _fed(source, element, value, texts=texts)
    own_nodes = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *own_nodes])
    graph.input.extend([*convert.input_values(features), *kept])


def _sources(graph: onnx.GraphProto, features: Features, nodes: list[onnx.NodeProto]) -> dict[str, tuple[str, int]]:
    """Return where each column comes from, and its type there; of a matrix, columns are split off first."""
    if not features.is_matrix:
        return {feature.column: (feature.input, convert.ELEMENT[feature.kind]) for feature in features.all}
    names = [f"column/{index}" for index in range(len(features.all))]
    graph.initializer.append(numpy_helper.from_array(np.ones(len(names), dtype=np.int64), "column/widths"))
    nodes.append(helper.make_node("Split", [MATRIX_INPUT, "column/widths"], names, axis=1))
    return {feature.column: (name, TensorProto.FLOAT) for feature, name in zip(features.all, names, strict=True)}


def _by_column(own: dict[str, onnx.ValueInfoProto], features: Features) -> list[tuple[Feature, onnx.ValueInfoProto]]:
    found = {feature.column: own.get(feature.column, own.get(feature.input)) for feature in features.all}
    if missing := [column for column, value in found.items() if value is None]:
        wanted = "one input for each feature, named as the column"
        wanted = f"one input of all {len(features.all)} features, or {wanted}" if features.is_matrix else wanted
        _refuse(f"has the inputs {_some(own)}, and none for {_some(missing)}: it needs {wanted}")
    if unknown := sorted(own.keys() - {name for feature in features.all for name in (feature.column, feature.input)}):
        _refuse(f"has the input {unknown[0]!r}, which is no feature; the features are {_some(found)}")
    return [(feature, value) for feature in features.all if (value := found[feature.column]) is not None]


def _fed(source: str, element: int, value: onnx.ValueInfoProto, *, texts: bool) -> list[onnx.NodeProto]:
    """Return nodes that make a value of the model's own out of a column or matrix."""
    tensor = value.type.tensor_type
    if tensor.elem_type not in ({TensorProto.STRING} if texts else _NUMBERS):
        _refuse(f"takes the input {_bare(value)!r} as another type than {'texts' if texts else 'numbers'}")
    nodes: list[onnx.NodeProto] = []
    if element != tensor.elem_type:
        nodes.append(helper.make_node("Cast", [source], [f"{value.name}/cast"], to=tensor.elem_type))
        source = f"{value.name}/cast"
    if len(tensor.shape.dim) == 1:
        nodes.append(helper.make_node("Constant", [], [f"{value.name}/axis"], value_ints=[1]))
        nodes.append(helper.make_node("Squeeze", [source, f"{value.name}/axis"], [value.name]))
    else:
        nodes.append(helper.make_node("Identity", [source], [value.name]))
    return nodes


def _outputs(graph: onnx.GraphProto, classes: Array | None) -> tuple[list[str], bool]:
    """Return the outputs in the schema's order, in its types, and whether labels are the classes' places."""
    own = {_bare(value): value for value in graph.output}
    for value in own.values():
        if not value.type.HasField("tensor_type"):
            _refuse(f"gives {_bare(value)!r} as a sequence or map; export tensors (skl2onnx: zipmap=False)")
    if classes is None:
        if len(own) > 1 and "prediction" not in own:
            _refuse(f"gives {_some(own)}: call the numbers it predicts 'prediction'")
        return [_as(graph, own.get("prediction", next(iter(own.values()))), TensorProto.FLOAT)], False
    if not {"label", "probabilities"} & own.keys():
        _refuse(f"gives {_some(own)}: call what it predicts 'label', 'probabilities', or both")
    probabilities = [_as(graph, own["probabilities"], TensorProto.FLOAT)] if "probabilities" in own else []
    if probabilities and _width(own["probabilities"]) not in {None, len(classes)}:
        _refuse(f"gives {_width(own['probabilities'])} probabilities, but the target has {len(classes)} classes")
    if "label" not in own:
        graph.node.append(helper.make_node("ArgMax", probabilities, ["column/place"], axis=1, keepdims=0))
        return ["column/place", *probabilities], True
    texts, given = classes.dtype.kind in "OU", own["label"].type.tensor_type.elem_type == TensorProto.STRING
    if given and not texts:
        _refuse(f"gives its label as texts, but the classes are the numbers {_some(map(str, classes))}")
    label = own["label"].name if given else _as(graph, own["label"], TensorProto.INT64)
    return [label, *probabilities], texts and not given


def _as(graph: onnx.GraphProto, value: onnx.ValueInfoProto, element: int) -> str:
    if value.type.tensor_type.elem_type not in _NUMBERS:
        _refuse(f"gives {_bare(value)!r} as something else than numbers")
    if value.type.tensor_type.elem_type == element:
        return str(value.name)
    graph.node.append(helper.make_node("Cast", [value.name], [f"{value.name}/as"], to=element))
    return f"{value.name}/as"


def _tidy(model: onnx.ModelProto) -> None:
    """Remove what differs between equal models: texts for people, inferred shapes."""
    model.producer_name, model.producer_version, model.domain, model.doc_string = "modelwright", "", "", ""
    model.model_version = 0
    del model.metadata_props[:], model.graph.value_info[:]
    model.graph.name, model.graph.doc_string = "model", ""


def _predictions(path: Path, data: Dataset) -> Answers:
    with handover.open_plain(path, Reason.MODEL_INVALID, "train") as stream:
        try:
            table = pq.ParquetFile(stream).read()
        except (pa.ArrowException, OSError) as error:
            raise _wrong(problem=f"is not Parquet: {' '.join(str(error).split())[:200]}") from error
    if table.num_rows != len(data.train):
        raise _wrong(problem=f"has {table.num_rows} rows, but train.parquet has {len(data.train)}")
    wanted = "prediction" if data.classes is None else "label"
    if wanted not in table.column_names:
        raise _wrong(problem=f"has the columns {_some(table.column_names)}, and no {wanted!r}")
    said = table[wanted].to_pylist()
    if data.classes is None:
        return Answers(np.array(said, dtype=np.float64), None, None)
    known = {str(label): label for label in data.classes}
    if unknown := sorted({str(label) for label in said} - known.keys()):
        raise _wrong(problem=f"has the label {unknown[0]!r}, but the classes are {_some(known)}")
    labels = np.array([known[str(label)] for label in said], dtype=data.classes.dtype)
    if not set(known) <= set(table.column_names):
        return Answers(labels, None, None)
    shares = np.stack([table[name].to_numpy().astype(np.float64) for name in known], axis=1)
    ranked = np.sort(shares, axis=1)
    return Answers(labels, shares, ranked[:, -1] - ranked[:, -2])


def _bare(value: onnx.ValueInfoProto) -> str:
    return str(value.name).removeprefix(_GIVEN)


def _width(value: onnx.ValueInfoProto) -> int | None:
    """Return the second dimension, if it is fixed."""
    dimensions = value.type.tensor_type.shape.dim
    return dimensions[1].dim_value or None if len(dimensions) > 1 else None


def _some(names: Any) -> str:  # noqa: ANN401 - texts
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")


def _wrong(*, problem: str) -> StageError:
    return StageError(Reason.MODEL_INVALID, f"trainer.container left {PREDICTIONS}, which {problem}")


def _refused(*, problem: str) -> StageError:
    return StageError(Reason.MODEL_INVALID, f"trainer.container left {MODEL_ONNX}, which {problem}")


def _refuse(problem: str) -> NoReturn:
    raise _refused(problem=problem)
