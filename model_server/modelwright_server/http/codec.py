"""Open Inference Protocol v2 messages in JSON: requests to arrays, arrays to answers, metadata.

Pure: bytes and values in, bytes and values out; knows no transport and no runtime.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from modelwright_server.errors import BadRequestError
from modelwright_server.schema import Schema, TensorSpec
from modelwright_server.tensors import Array, InputDecoder, OutputEncoder, as_list

PLATFORM = "onnx_onnxv1"
_SCALARS = frozenset({str, int, float, bool})


@dataclass(slots=True)
class InferRequest:
    """A request whose every part has been checked.

    Attributes:
        feeds: one array for each input of the model, all with ``rows`` rows.
        rows: number of rows, at least 1.
        outputs: the wanted outputs, in the wanted order.
        echo: the members of the answer that repeat the request's, as JSON.
    """

    feeds: dict[str, Array]
    rows: int
    outputs: list[str]
    echo: bytes


class Codec:
    """Reads and writes the messages of one model."""

    def __init__(self, schema: Schema, name: str, version: str, max_rows: int) -> None:
        self._schema = schema
        self._name, self._version = name, version
        self._decoders = {spec.name: InputDecoder(spec, max_rows) for spec in schema.inputs}
        self._encoders = {spec.name: OutputEncoder(spec) for spec in schema.outputs}
        self._all_outputs = list(self._encoders)
        self._head = orjson.dumps({"model_name": name, "model_version": version})[:-1]

    def metadata(self) -> bytes:
        """Return the model's metadata.

        A tensor's ``parameters.columns`` names its columns, ``parameters.nullable`` says that null may be sent.
        """
        return orjson.dumps(
            {
                "name": self._name,
                "versions": [self._version],
                "platform": PLATFORM,
                "inputs": [_described(spec) for spec in self._schema.inputs],
                "outputs": [_described(spec) for spec in self._schema.outputs],
            }
        )

    def read(self, body: bytes | bytearray) -> InferRequest:
        """Return the request in ``body``; members the protocol does not know are ignored.

        Raises:
            BadRequestError: names the member that is wrong and what it must be.
        """
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadRequestError(problem=f"the body is not JSON: {error}") from None
        if type(document) is not dict:
            raise _bad(problem="the body must be a JSON object with the member 'inputs'")
        members = cast("dict[str, Any]", document)
        tensors = _objects(members, "inputs")
        wanted = _objects(members, "outputs") if "outputs" in members else []
        echo = self._echo(members)
        _check_repeated(body, members, [*tensors, *wanted])
        feeds = self._feeds(tensors)
        rows = len(next(iter(feeds.values())))
        for name, array in feeds.items():
            if len(array) != rows:
                first = next(iter(feeds))
                raise _bad(problem=f"input {name!r} has {len(array)} rows, input {first!r} has {rows}")
        return InferRequest(feeds, rows, self._wanted(wanted), echo)

    def write(self, request: InferRequest, arrays: Sequence[Array]) -> bytes:
        """Return the answer to ``request`` with these outputs.

        Raises:
            ModelFailedError: an output cannot be said in JSON.
        """
        rows = request.rows
        outputs = [
            self._encoders[name].encode(array, rows) for name, array in zip(request.outputs, arrays, strict=True)
        ]
        return b'%b%b,"outputs":[%b]}' % (self._head, request.echo, b",".join(outputs))

    def _feeds(self, tensors: Sequence[dict[str, Any]]) -> dict[str, Array]:
        """Return one array for each input of the model."""
        feeds: dict[str, Array] = {}
        for tensor in tensors:
            name = tensor.get("name")
            decoder = self._decoders.get(name) if type(name) is str else None
            if decoder is None or name is None:
                raise _bad(problem=f"input {name!r:.60} is unknown, the model takes {_listed(self._decoders)}")
            if name in feeds:
                raise _bad(problem=f"input {name!r} is given twice")
            feeds[name] = decoder.decode(tensor)
        if len(feeds) != len(self._decoders):
            missing = [name for name in self._decoders if name not in feeds]
            raise _bad(problem=f"input {missing[0]!r} is missing, the model takes {_listed(self._decoders)}")
        return feeds

    def _wanted(self, outputs: Sequence[dict[str, Any]]) -> list[str]:
        """Return the names of the wanted outputs, all of them if none is named."""
        if not outputs:
            return self._all_outputs
        names: list[str] = []
        for output in outputs:
            name = output.get("name")
            if type(name) is not str or name not in self._encoders:
                raise _bad(problem=f"output {name!r:.60} is unknown, the model has {_listed(self._encoders)}")
            if name in names:
                raise _bad(problem=f"output {name!r} is wanted twice")
            names.append(name)
        return names

    def _echo(self, members: dict[str, Any]) -> bytes:
        """Return the request's id and parameters as members of the answer."""
        echo = b""
        if (identity := members.get("id")) is not None:
            if type(identity) is not str:
                raise _bad(problem="id must be a text")
            echo = b',"id":' + orjson.dumps(identity)
        if (parameters := members.get("parameters")) is not None:
            if type(parameters) is not dict or not _SCALARS.issuperset(map(type, cast("Any", parameters).values())):
                raise _bad(problem="parameters must be an object of texts, numbers and truth values")
            echo += b',"parameters":' + orjson.dumps(parameters)
        return echo


def _bad(*, problem: str) -> BadRequestError:
    return BadRequestError(problem=problem)


def _listed(names: Sequence[str] | dict[str, Any]) -> str:
    """Return the first few names, for people."""
    shown = [repr(name) for name in list(names)[:8]]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def _described(spec: TensorSpec) -> dict[str, object]:
    """Return a tensor's metadata."""
    document = spec.to_document()
    parameters = {name: document.pop(name) for name in ("columns", "nullable") if name in document}
    return {**document, "parameters": parameters} if parameters else document


def _objects(members: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a member that must be a list of objects."""
    items = as_list(members.get(name))
    if items is None or not all(isinstance(item, dict) for item in items):
        raise _bad(problem=f"the body must have the member {name!r}, a list of objects")
    return cast("list[dict[str, Any]]", items)


def _check_repeated(body: bytes | bytearray, members: dict[str, Any], tensors: Sequence[dict[str, Any]]) -> None:
    """Refuse objects that name a member twice, of which parsers keep different ones.

    The fast parser keeps the last silently.  Every member has its colon: if there are as many as
    members were kept, none was lost.  Otherwise (also: colons in texts, objects further down) the
    body is read again by the standard library's parser, which shows every pair.
    """
    parameters = members.get("parameters")
    kept = len(members) + sum(map(len, tensors)) + (len(parameters) if type(parameters) is dict else 0)  # pyright: ignore[reportUnknownArgumentType]
    if body.count(b":") == kept:
        return
    try:
        json.loads(body, object_pairs_hook=_unique, parse_float=_ignored, parse_int=_ignored)
    except (ValueError, RecursionError) as error:
        raise _bad(problem=f"the body is not JSON: {error}") from None


def _ignored(_: str) -> None:
    """Stand in for a number: none is needed here, and long ones are slow."""


def _unique(pairs: list[tuple[str, Any]]) -> None:
    """Refuse one object's pairs if a name is repeated."""
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        repeated = next(name for at, name in enumerate(names) if name in names[:at])
        raise _bad(problem=f"the body names the member {repeated[:60]!r} twice in one object")
