"""Outputs of the model as the JSON of the protocol."""

import orjson

from modelwright_server.batching import Batch
from modelwright_server.errors import ServingError
from modelwright_server.schema import FLOATS, Datatype, TensorSpec
from modelwright_server.tensors import PREDICTION_ID_NAME

_MOST_LABELS = 1024
_IDS = TensorSpec(PREDICTION_ID_NAME, Datatype.BYTES, (-1,))
_NOT_FINITE = (
    "the model's answer to these values is not finite, which JSON cannot say: send values like those it was trained on,"
    " or ask for the output with binary_data"
)


class NotFiniteError(ServingError):
    """The model's answer to these values is not a number: too large ones can do that to any model that multiplies."""


class OutputWriter:
    """Writes one output as text; all rows of a call at once, since that costs little more than one of them."""

    def __init__(self, spec: TensorSpec, position: int) -> None:
        self.spec = spec
        self.head = tensor_head(spec)
        self._position = position
        self.is_float = spec.datatype in FLOATS
        self._flat = len(spec.shape) == 1
        self._labels: dict[str | bytes, bytes] = {}

    def text(self, batch: Batch, start: int, rows: int) -> bytes:
        """Return the values of some rows, separated by commas, in row-major order.

        Raises:
            NotFiniteError: a value cannot be said in JSON.
        """
        texts = self.texts(batch)
        text = texts[start] if rows == 1 else b",".join(texts[start : start + rows])
        if not batch.finite and self.is_float and b"n" in text:
            raise NotFiniteError(problem=f"output {self.spec.name!r}: {_NOT_FINITE}")
        return text

    def texts(self, batch: Batch) -> list[bytes]:
        """Return the values of each row."""
        texts = batch.texts.get(self._position)
        if texts is None:
            texts = batch.texts[self._position] = self._texts(batch)
        return texts

    def _texts(self, batch: Batch) -> list[bytes]:
        """Return the text of each row."""
        array = batch.arrays[self._position]
        if array.dtype == object:
            rows = array.reshape(len(array), -1).tolist()
            return [b",".join(map(self._label, row)) for row in rows]
        if array.dtype.itemsize == 2 and self.is_float:  # noqa: PLR2004 - half precision has no text of its own
            array = array.astype("f4")
        text = orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
        if self.is_float and b"n" in text:  # "null" is how NaN and infinities come out
            batch.finite = False
        return text[1:-1].split(b",") if self._flat else text[2:-2].split(b"],[")

    def _label(self, value: str | bytes) -> bytes:
        """Return a text in JSON; labels are few."""
        text = self._labels.get(value)
        if text is None:
            text = orjson.dumps(value.decode() if isinstance(value, bytes) else value)
            if len(self._labels) < _MOST_LABELS:
                self._labels[value] = text
        return text


def tensor_head(spec: TensorSpec) -> bytes:
    """Return the JSON of an output up to its shape, with a place for its rows."""
    stated = orjson.dumps({"name": spec.name, "datatype": spec.datatype.value})[:-1].replace(b"%", b"%%")
    return stated + b',"shape":[%d' + b"".join(b",%d" % size for size in spec.shape[1:]) + b"]"


IDS_HEAD = tensor_head(_IDS)
