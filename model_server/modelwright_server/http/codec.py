"""Open Inference Protocol v2 messages over REST: bodies to requests, answers to bodies, metadata.

A body is JSON; with the binary tensor extension (``Inference-Header-Content-Length``) the values of some
tensors follow the JSON in raw form, in the order of the tensors.  Pure: knows no sockets and no runtime.
"""

import json
from typing import Any, cast

import orjson

from modelwright_server.batching import Batch
from modelwright_server.errors import BadRequestError
from modelwright_server.http.known import Form, KnownBody, KnownRaw
from modelwright_server.http.outputs import IDS_HEAD, OutputWriter
from modelwright_server.schema import Datatype, Schema, TensorSpec
from modelwright_server.tensors import (
    PREDICTION_ID,
    InferRequest,
    Packed,
    Signature,
    raw_output,
    raw_texts,
)

PLATFORM = "onnx_onnxv1"
_SCALARS = frozenset({str, int, float, bool})
_MOST_TEMPLATES = 64


DATA = b'"data"'
# What is remembered of earlier requests: how many of them, and bytes of each.
_MOST_KNOWN = 64
_MOST_AROUND = 4096


class Codec:
    """Reads and writes the messages of one model."""

    def __init__(self, signature: Signature, name: str, version: str) -> None:
        self._signature = signature
        self._name, self._version = name, version
        self._writers = {at: OutputWriter(spec, at) for at, spec in enumerate(signature.schema.outputs)}
        self._head = orjson.dumps({"model_name": name, "model_version": version})[:-1].replace(b"%", b"%%")
        self._templates: dict[tuple[int, ...], bytes] = {}
        self._all_outputs = signature.all_outputs
        template = self._template(self._all_outputs)
        self._plain_template = template.replace(b"%b", b"", 1).replace(b"%d", b"1")
        self._known: dict[bytes, KnownBody] = {}

    # Requests

    def read(self, body: bytes | bytearray, json_size: int | None = None) -> tuple[InferRequest, Form]:
        """Return the request in ``body``; members the protocol does not know are ignored.

        Args:
            body: JSON, and behind it the raw values if ``json_size`` is given.
            json_size: bytes of the JSON.

        Raises:
            BadRequestError: names the member that is wrong and what it must be.
        """
        if json_size is None and (known := self._read_known(body)) is not None:
            return known
        raw: memoryview | None = None
        if json_size is not None:
            if json_size > len(body):
                raise _bad(problem=f"Inference-Header-Content-Length is {json_size}, the body has {len(body)} bytes")
            raw = memoryview(body)[json_size:]
            body = body[:json_size]
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadRequestError(problem=f"the body is not JSON: {error}") from None
        if type(document) is not dict:
            raise _bad(problem="the body must be a JSON object with the member 'inputs'")
        members: dict[str, Any] = document  # pyright: ignore[reportUnknownVariableType]
        colons = body.count(b":")
        # One letter is found faster than a word, and the most frequent requests have neither.
        truths = (b"r" in body and b"true" in body) or (b"l" in body and b"false" in body)
        tensors = _objects(members, "inputs")
        wanted = _objects(members, "outputs") if "outputs" in members else []
        if colons != _members(members, *tensors, *wanted):
            _check_repeated(body)
        request = self._request(tensors, [output.get("name") for output in wanted], raw, truths=truths)
        form = _form(members, wanted, request.outputs)
        one = request.rows == 1 and request.outputs == self._all_outputs
        form.plain = one and not form.echo and form.binary is None
        form.raw_input = raw is not None and "data" not in tensors[0] and "id" not in members
        if raw is None and "id" not in members:  # ids differ from request to request
            self._learn(body, request, form)
        return request, form

    def _read_known(self, body: bytes | bytearray) -> tuple[InferRequest, Form] | None:
        """Return the request in a body that differs in its values only from one that was read before.

        Clients repeat themselves.  What stands around the values has been judged then; if what stands between is
        one JSON list of numbers, as many as before, the body is as good as that one.
        """
        known, start = self._find(body)
        request = known.request(body, start) if known is not None else None
        return None if request is None or known is None else (request, known.form)

    def known_raw(self, request: InferRequest, form: Form) -> KnownRaw | None:
        """Return a request but for its values, if these were raw and of the only input, which has a fixed size."""
        slot = self._signature.only_input
        if slot is None or slot.spec.datatype is Datatype.BYTES or not form.raw_input:
            return None
        return KnownRaw(slot, request.rows, request.outputs, request.size, form)

    def known(self, body: bytes | bytearray) -> KnownBody | None:
        """Return what was remembered of the body of a request."""
        return self._find(body)[0]

    def _find(self, body: bytes | bytearray) -> tuple[KnownBody | None, int]:
        """Return what is remembered of bodies that begin like this one, and where its values begin."""
        start = body.find(b"[", body.find(DATA, 0, _MOST_AROUND))
        return (self._known.get(bytes(body[:start])) if start > 0 else None), start

    def _learn(self, body: bytes | bytearray, request: InferRequest, form: Form) -> None:
        """Remember what stands around the values of a request for one input of numbers, in a flat list."""
        slot = self._signature.only_input
        if slot is None or not slot.numbers or body.count(DATA) != 1:
            return
        start = body.find(b"[", body.find(DATA))
        end = body.find(b"]", start) + 1
        key, tail = bytes(body[:start]), bytes(body[end:])
        # Where no name is written with escapes, the only "data" is the input's.
        if len(key) + len(tail) > _MOST_AROUND or b"\\" in key or b"\\" in tail or body[start + 1 : end].count(b"["):
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = KnownBody(tail, slot.packer(request.rows), request.rows, request.outputs, request.size, form)

    def _request(
        self, tensors: list[dict[str, Any]], wanted: list[Any], raw: memoryview | None, *, truths: bool
    ) -> InferRequest:
        """Return the checked request."""
        signature = self._signature
        feeds: dict[str, Packed] = {}
        rows: dict[str, int] = {}
        for tensor in tensors:
            name = tensor.get("name")
            slot = signature.input(name)
            if name in feeds:
                raise _bad(problem=f"input {name!r} is given twice")
            stated = tensor.get("shape")
            shape: list[Any] = stated if type(stated) is list else []  # pyright: ignore[reportUnknownVariableType]
            count = slot.rows(tensor.get("datatype"), shape)
            data = tensor.get("data")
            if type(data) is list:
                packed = slot.from_list(data, count, truths=truths)  # pyright: ignore[reportUnknownArgumentType]
            elif raw is None:
                raise slot.missing()
            else:
                size = _raw_size(tensor, raw)
                packed = slot.from_raw(raw[:size], count)
                raw = raw[size:]
            feeds[cast("str", name)] = packed
            rows[cast("str", name)] = count
        if raw:
            raise _bad(problem=f"{len(raw)} bytes follow the inputs' raw data")
        return signature.request(feeds, rows, wanted)

    # Answers

    def write(self, request: InferRequest, form: Form, batch: Batch, start: int) -> tuple[bytes, int | None]:
        """Return the body of an answer, and of how many bytes its JSON is if raw values follow it.

        Raises:
            NotFiniteError: an output cannot be said in JSON.
        """
        if form.binary is not None:
            return self._write_binary(request, form, batch, start)
        return self._rows(request, form, batch, start), None

    def plain_answers(self, batch: Batch) -> list[bytes] | None:
        """Return the answers to plain requests for one row, for each row of a call; None if a value is not finite."""
        texts = [writer.texts(batch) for writer in self._writers.values()]
        if not batch.finite:
            return None
        return [self._plain_template % row for row in zip(*texts, strict=True)]

    def _rows(self, request: InferRequest, form: Form, batch: Batch, start: int) -> bytes:
        """Return an answer that is JSON altogether."""
        rows = request.rows
        values: list[bytes | int] = [form.echo]
        for position in request.outputs:
            if position == PREDICTION_ID:
                data = orjson.dumps([text.decode() for text in batch.prediction_ids(start, rows)])[1:-1]
            else:
                data = self._writers[position].text(batch, start, rows)
            values += rows, data
        return self._template(request.outputs) % tuple(values)

    def _template(self, outputs: tuple[int, ...]) -> bytes:
        """Return the answer with places for the echo and, for each output, its rows and its data."""
        template = self._templates.get(outputs)
        if template is None:
            parts = [IDS_HEAD if at == PREDICTION_ID else self._writers[at].head for at in outputs]
            template = self._head + b'%b,"outputs":[' + b",".join(part + b',"data":[%b]}' for part in parts) + b"]}"
            if len(self._templates) < _MOST_TEMPLATES:
                self._templates[outputs] = template
        return template

    def _write_binary(self, request: InferRequest, form: Form, batch: Batch, start: int) -> tuple[bytes, int | None]:
        """Return an answer of which some outputs are in raw form."""
        rows = request.rows
        if form.raw_head:
            stop = start + rows
            values = [batch.arrays[position][start:stop].tobytes() for position in request.outputs]
            return b"".join([form.raw_head, *values]), len(form.raw_head)
        texts: list[bytes] = []
        raws: list[bytes] = []
        for position, binary in zip(request.outputs, cast("tuple[bool, ...]", form.binary), strict=True):
            head = (IDS_HEAD if position == PREDICTION_ID else self._writers[position].head) % rows
            if position == PREDICTION_ID:
                ids = batch.prediction_ids(start, rows)
                raw = raw_texts(ids) if binary else b""
                text = b"" if binary else orjson.dumps([text.decode() for text in ids])[1:-1]
            else:
                writer = self._writers[position]
                raw = raw_output(writer.spec, batch.arrays[position][start : start + rows]) if binary else b""
                text = b"" if binary else writer.text(batch, start, rows)
            if binary:
                raws.append(raw)
                texts.append(b'%b,"parameters":{"binary_data_size":%d}}' % (head, len(raw)))
            else:
                texts.append(b'%b,"data":[%b]}' % (head, text))
        json_part = b'%b%b,"outputs":[%b]}' % (self._head.replace(b"%%", b"%"), form.echo, b",".join(texts))
        if PREDICTION_ID not in request.outputs and not any(
            text.endswith(b"]}") or self._writers[at].spec.datatype is Datatype.BYTES
            for at, text in zip(request.outputs, texts, strict=True)
        ):
            form.raw_head = json_part  # sizes do not depend on the values: the next answer of this form has the same
        return b"".join([json_part, *raws]), len(json_part)

    def metadata(self) -> bytes:
        """Return the model's metadata.

        A tensor's ``parameters.columns`` names its columns, ``parameters.nullable`` says that null may be sent.
        """
        schema: Schema = self._signature.schema
        return orjson.dumps(
            {
                "name": self._name,
                "versions": [self._version],
                "platform": PLATFORM,
                "inputs": [_described(spec) for spec in schema.inputs],
                "outputs": [_described(spec) for spec in schema.outputs],
            }
        )


def _bad(*, problem: str) -> BadRequestError:
    return BadRequestError(problem=problem)


def _form(members: dict[str, Any], wanted: list[dict[str, Any]], outputs: tuple[int, ...]) -> Form:
    """Return what the answer repeats, and which outputs are wanted in raw form."""
    echo = b""
    if (identity := members.get("id")) is not None:
        if type(identity) is not str:
            raise _bad(problem="id must be a text")
        echo = b',"id":' + orjson.dumps(identity)
    parameters = _parameters(members)
    raw_by_default = parameters.pop("binary_data_output", False)
    if type(raw_by_default) is not bool:
        raise _bad(problem="parameters.binary_data_output must be true or false")
    if parameters:
        echo += b',"parameters":' + orjson.dumps(parameters)
    if not wanted:
        return Form(echo, (True,) * len(outputs) if raw_by_default else None)
    binary = tuple(_parameters(output).get("binary_data", raw_by_default) for output in wanted)
    if any(type(value) is not bool for value in binary):
        raise _bad(problem="an output's parameters.binary_data must be true or false")
    return Form(echo, binary if any(binary) else None)


def _parameters(members: dict[str, Any]) -> dict[str, Any]:
    """Return an object's parameters."""
    parameters = members.get("parameters")
    if parameters is None:
        return {}
    if type(parameters) is not dict or not _SCALARS.issuperset(map(type, cast("Any", parameters).values())):
        raise _bad(problem="parameters must be an object of texts, numbers and truth values")
    return cast("dict[str, Any]", parameters)


def _raw_size(tensor: dict[str, Any], raw: memoryview) -> int:
    """Return how many of the raw bytes belong to an input."""
    size = _parameters(tensor).get("binary_data_size")
    name = tensor.get("name")
    if type(size) is not int or size < 0:
        raise _bad(problem=f"input {name!r}: give data, or parameters.binary_data_size, a whole number from 0 on")
    if size > len(raw):
        raise _bad(problem=f"input {name!r}: binary_data_size is {size}, but {len(raw)} bytes of raw data are left")
    return size


def _described(spec: TensorSpec) -> dict[str, object]:
    """Return a tensor's metadata."""
    document = spec.to_document()
    parameters = {name: document.pop(name) for name in ("columns", "nullable") if name in document}
    return {**document, "parameters": parameters} if parameters else document


def _objects(members: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a member that must be a list of objects."""
    items: Any = members.get(name)
    if type(items) is not list or any(type(item) is not dict for item in cast("Any", items)):
        raise _bad(problem=f"the body must have the member {name!r}, a list of objects")
    return cast("list[dict[str, Any]]", items)


def _members(*objects: dict[str, Any]) -> int:
    """Return how many members the objects and their parameters have."""
    count = 0
    for item in objects:
        count += len(item)
        if type(parameters := item.get("parameters")) is dict:
            count += len(cast("dict[str, Any]", parameters))
    return count


def _check_repeated(body: bytes | bytearray) -> None:
    """Refuse objects that name a member twice, of which parsers keep different ones.

    The fast parser keeps the last silently.  Every member has its colon: if there are as many as
    members were kept, none was lost.  Otherwise (also: colons in texts, objects further down) this
    reads the body again by the standard library's parser, which shows every pair.
    """
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
