# pyright: basic
# (skl2onnx comes without types.)
"""What skl2onnx lacks or does wrongly, put right for this process.

Columns in an order of their own: where a ColumnTransformer takes as many columns as there are, skl2onnx takes the whole
matrix, whatever the order.
"""

from collections.abc import Sequence
from typing import Any

from skl2onnx import _parse

_fetch_input_slice = _parse._fetch_input_slice  # noqa: SLF001 - what is put right


def put_right() -> None:
    """Replace and register what is said above; once is enough, more often does no harm."""
    _parse._fetch_input_slice = _in_order  # noqa: SLF001 - as above


def _in_order(scope: Any, inputs: list[Any], column_indices: Sequence[int]) -> list[Any]:  # noqa: ANN401 - skl2onnx's
    if list(column_indices) == sorted(column_indices):
        found: list[Any] = _fetch_input_slice(scope, inputs, column_indices)
        return found
    extractor = scope.declare_local_operator("SklearnArrayFeatureExtractor")
    extractor.inputs, extractor.column_indices = inputs, column_indices
    extractor.outputs.append(scope.declare_local_variable("columns_in_order", inputs[0].type))
    return list(extractor.outputs)
