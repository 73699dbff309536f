# pyright: basic
# (scikit-learn and skl2onnx come without types.)
"""From a fitted pipeline to ONNX with the names, types and shapes of the artifact's schema.

The same pipeline gives the same bytes: names are fixed, and nothing tells when or by which release it was converted.
"""

import copy
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import is_classifier
from sklearn.linear_model import LogisticRegression

from modelwright_training import converters, parts
from modelwright_training.contract import Reason, Schema, Task, Tensor
from modelwright_training.errors import StageError
from modelwright_training.features import MATRIX_INPUT, Features, Kind

OPSETS = {"": 21, "ai.onnx.ml": 3}
IR_VERSION = 10  # the one that came with opset 21
_NUMBERS, _TEXTS = "numbers", "texts"
ELEMENT = {
    Kind.FLOAT: TensorProto.FLOAT,
    Kind.INTEGER: TensorProto.INT64,
    Kind.BOOLEAN: TensorProto.BOOL,
    Kind.TEXT: TensorProto.STRING,
}
_REMEDIES = {
    "KBinsDiscretizer": 'set encode to "onehot-dense"',
}


@dataclass(frozen=True, slots=True)
class Converted:
    """A graph and what it takes and gives."""

    model: onnx.ModelProto
    schema: Schema

    @property
    def has_probabilities(self) -> bool:
        """Whether the second output are class probabilities."""
        return len(self.schema.outputs) > 1


def to_onnx(
    fitted: Any,  # noqa: ANN401 - any pipeline
    features: Features,
    task: Task,
    *,
    labels: npt.NDArray[Any] | None = None,
    field: str = "trainer.sklearn.estimator",
) -> Converted:
    """Convert a fitted pipeline.

    Args:
        fitted: a pipeline that takes a matrix, or numbers and then texts.
        features: what the graph takes.
        task: what it gives.
        labels: what to answer in place of the classes 0 … k - 1 that it was fitted on; None: its own classes.
        field: what the user may change, for failures.

    Raises:
        StageError: ConversionFailed, naming the estimator and the remedy where one is known.

    """
    try:
        core = _core(fitted, features)
        model = _with_inputs(core, features)
        classes = None if task is Task.REGRESSION else fitted.classes_ if labels is None else labels
        found = [output.name for output in model.graph.output][: 1 + hasattr(fitted, "predict_proba")]
        outputs = name_outputs(model, found, classes, coded=labels is not None)
        _settle(model)
        _check_domains(model)
        onnx.checker.check_model(model, full_check=True)
    except MemoryError:
        raise
    except Exception as error:
        raise _explained(error, fitted, field) from error
    return Converted(model, Schema(input_tensors(features), outputs, task))


def _core(fitted: Any, features: Features) -> onnx.ModelProto:  # noqa: ANN401 - any pipeline
    """Let skl2onnx convert; numbers and categories are one input each."""
    converters.put_right()
    inputs: list[tuple[str, Any]] = []
    if features.is_matrix:
        inputs.append((MATRIX_INPUT, FloatTensorType([None, len(features.all)])))
    else:
        if features.numeric:
            inputs.append((_NUMBERS, FloatTensorType([None, len(features.numeric)])))
        inputs.append((_TEXTS, StringTensorType([None, len(features.categorical)])))
    fitted = _convertible(fitted)
    options = None
    if is_classifier(fitted):
        options = {id(fitted): {"zipmap": False}}  # plain tensors instead of a sequence of maps
        _allow_zipmap_option(type(fitted.steps[-1][1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx uses what NumPy and ONNX have deprecated
        core = convert_sklearn(fitted, "model", initial_types=inputs, target_opset=OPSETS, options=options)
    return cast("onnx.ModelProto", core)


def _convertible(fitted: Any) -> Any:  # noqa: ANN401 - any pipeline
    """Return the pipeline as skl2onnx takes it, in a copy where that differs.

    - Thresholds of histogram gradient boosting are rounded down to float32. skl2onnx rounds them to the nearest (those
      of other trees it rounds down), so that a value between a threshold and its rounding would change sides. For
      numbers that are float32, as all are here, `x <= t` and `x <= floor(t)` agree.
    - Of a search only the best estimator predicts.
    - Linear discriminants of two classes are a logistic function of their decision, which skl2onnx forgets.
    - Voting need not flatten what `transform` returns, which nobody asks for; its weights are those of members that are
      not dropped, which skl2onnx takes as an array.
    """
    last = fitted.steps[-1][1]
    plain = not hasattr(last, "best_estimator_") and not _is_binary_discriminant(last)
    if plain and not any(hasattr(part, "_predictors") or _votes(part) for part in parts.of(fitted)):
        return fitted
    copied = copy.deepcopy(fitted)
    name, last = copied.steps[-1]
    last = getattr(last, "best_estimator_", last)
    copied.steps[-1] = (name, _as_logistic(last) if _is_binary_discriminant(last) else last)
    for part in parts.of(copied):
        if _votes(part):
            part.flatten_transform = False
            part.weights = None if part.weights is None else np.array(part._weights_not_none, dtype=np.float64)  # noqa: SLF001
        for predictor in itertools.chain.from_iterable(getattr(part, "_predictors", ())):
            exact = predictor.nodes["num_threshold"]
            nearest = exact.astype(np.float32)
            below = np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
            predictor.nodes["num_threshold"] = below
    return copied


def _is_binary_discriminant(estimator: Any) -> bool:  # noqa: ANN401 - any estimator
    return type(estimator).__name__ == "LinearDiscriminantAnalysis" and len(estimator.classes_) == 2  # noqa: PLR2004


def _as_logistic(fitted: Any) -> Any:  # noqa: ANN401 - linear discriminants
    same: Any = LogisticRegression()
    same.coef_, same.intercept_, same.classes_ = fitted.coef_, fitted.intercept_, fitted.classes_
    same.n_features_in_, same.n_iter_ = fitted.n_features_in_, np.zeros(1, dtype=np.int32)
    return same


def _votes(part: object) -> bool:
    return type(part).__name__ in {"VotingClassifier", "VotingRegressor"}


def _allow_zipmap_option(estimator: type[Any]) -> None:
    """Let every classifier take the option that the pipeline's converter sets; LinearSVC's refuses it for no reason."""
    name = sklearn_operator_name_map.get(estimator)
    allowed = get_converter(name).get_allowed_options() if name else None
    if allowed is not None:
        allowed.setdefault("zipmap", [True, False])


def _with_inputs(core: onnx.ModelProto, features: Features) -> onnx.ModelProto:
    """Give every column its own typed input and join them into the matrices the core takes."""
    model = onnx.ModelProto()
    model.CopyFrom(core)
    if features.is_matrix:
        return model
    graph = model.graph
    joins = (
        (_NUMBERS, features.numeric, TensorProto.FLOAT),
        (_TEXTS, features.categorical, TensorProto.STRING),
    )
    nodes: list[onnx.NodeProto] = []
    for matrix, members, element in joins:
        names: list[str] = []
        for feature in members:
            name = feature.input
            if ELEMENT[feature.kind] != element:
                name = f"{matrix}/{feature.input}"
                nodes.append(helper.make_node("Cast", [feature.input], [name], to=element))
            names.append(name)
        if names:
            nodes.append(helper.make_node("Concat", names, [matrix], axis=1))
    core_nodes = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *core_nodes])
    graph.input.extend(input_values(features))
    return model


def name_outputs(
    model: onnx.ModelProto, values: Sequence[str], classes: npt.NDArray[Any] | None, *, coded: bool
) -> tuple[Tensor, ...]:
    """Name and shape the outputs, which are made of `values`: a prediction, or a label and maybe probabilities.

    `coded`: the graph gives the places of classes, not yet their labels.
    """
    graph, found = model.graph, list(values)
    if classes is None:
        wanted = [(Tensor("prediction", Kind.FLOAT, (-1, 1)), TensorProto.FLOAT, [-1, 1])]
    else:
        texts = classes.dtype.kind in "OU"  # some estimators keep texts as fixed-width strings
        label = Tensor("label", Kind.TEXT if texts else Kind.INTEGER, (-1,))
        wanted = [(label, TensorProto.STRING if texts else TensorProto.INT64, [-1])]
        if coded:
            found[0] = _decoded(graph, found[0], classes, texts=texts)
        if len(found) > 1:
            names = tuple(map(str, classes))
            shape = (-1, len(names))
            wanted.append((Tensor("probabilities", Kind.FLOAT, shape, names), TensorProto.FLOAT, list(shape)))
    del graph.output[:]
    for source, (tensor, element, dimensions) in zip(found, wanted, strict=False):
        # Some converters leave out an axis or add one, whatever shape they declare.
        inner = f"core/{tensor.name}"
        _rename(graph, source, inner)
        constant = f"core/{tensor.name}_shape"
        graph.initializer.append(helper.make_tensor(constant, TensorProto.INT64, [len(dimensions)], dimensions))
        graph.node.append(helper.make_node("Reshape", [inner, constant], [tensor.name]))
        open_ended = [None if size < 0 else size for size in dimensions]
        graph.output.append(helper.make_tensor_value_info(tensor.name, element, open_ended))
    return tuple(tensor for tensor, _, _ in wanted)


def _decoded(graph: onnx.GraphProto, place: str, classes: npt.NDArray[Any], *, texts: bool) -> str:
    """Look up the labels of classes whose places a value holds; return the labels' name."""
    _rename(graph, place, "core/place")
    values = classes.astype(object if texts else np.int64)
    graph.initializer.append(numpy_helper.from_array(values, "core/classes"))
    graph.node.append(helper.make_node("Gather", ["core/classes", "core/place"], ["core/decoded"]))
    return "core/decoded"


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a value wherever it is made or used, inside loops and branches as well."""
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                _rename(inner, old, new)


def _settle(model: onnx.ModelProto) -> None:
    """Remove what differs between equal models: releases, texts for people, inferred shapes, unused constants."""
    graph = model.graph
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.domain, model.doc_string = "modelwright", "", "", ""
    model.model_version = 0
    del model.metadata_props[:]
    opsets = sorted({(opset.domain, opset.version) for opset in model.opset_import})
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in opsets)
    graph.name, graph.doc_string = "model", ""
    del graph.value_info[:]
    used = {name for node in graph.node for name in _uses(node)}
    constants = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    for index, node in enumerate(graph.node):
        node.name, node.doc_string = f"{node.op_type}_{index}", ""


def _check_domains(model: onnx.ModelProto) -> None:
    """Refuse operators of a single runtime, which the server does not load."""
    if foreign := sorted({opset.domain for opset in model.opset_import} - OPSETS.keys()):
        message = f"the graph needs operators of {foreign[0]}"
        raise ValueError(message)


def _uses(node: onnx.NodeProto) -> Sequence[str]:
    inner = [name for attribute in node.attribute for n in attribute.g.node for name in _uses(n)]
    return [*node.input, *inner]


def input_values(features: Features) -> list[onnx.ValueInfoProto]:
    """Return the graph's inputs: a matrix, or one for each feature."""
    if features.is_matrix:
        return [helper.make_tensor_value_info(MATRIX_INPUT, TensorProto.FLOAT, [None, len(features.all)])]
    return [helper.make_tensor_value_info(f.input, ELEMENT[f.kind], [None, 1]) for f in features.all]


def input_tensors(features: Features) -> tuple[Tensor, ...]:
    """Return the same as the schema has them."""
    if features.is_matrix:
        columns = tuple(feature.column for feature in features.all)
        return (Tensor(MATRIX_INPUT, Kind.FLOAT, (-1, len(columns)), columns),)
    return tuple(Tensor(feature.input, feature.kind, (-1, 1), (feature.column,)) for feature in features.all)


def _explained(error: Exception, fitted: Any, field: str) -> StageError:  # noqa: ANN401 - any pipeline
    estimator = type(fitted.steps[-1][1]).__name__
    said = " ".join(str(error).split())
    remedy = _REMEDIES.get(estimator, "choose another estimator or parameters")
    if type(error).__name__ in {"MissingShapeCalculator", "MissingConverter"}:
        said = "skl2onnx has no converter for it"
    message = f"{field}: {estimator} cannot be converted to ONNX ({said[:300]}); {remedy}"
    return StageError(Reason.CONVERSION_FAILED, message)
