"""A serving pod's folders without a cluster: a model, a server's ring and ids, capture, and a store."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from modelwright_capture.capturing import Capture
from modelwright_capture.counts import Counts
from modelwright_server import stores
from modelwright_server.contract.capture import CaptureSettings
from modelwright_server.dataplane import _Recorder  # pyright: ignore[reportPrivateUsage]
from modelwright_server.prediction import Issuer
from modelwright_server.ring import RingWriter
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = Schema(
    (TensorSpec("input", Datatype.FP32, (-1, 3), ("a", "b", "ssn"), nullable=True),),
    (TensorSpec("label", Datatype.INT64, (-1,)), TensorSpec("probabilities", Datatype.FP32, (-1, 2), ("0", "1"))),
    Task.CLASSIFICATION,
)
TEXTS = Schema(
    (TensorSpec("plan", Datatype.BYTES, (-1, 1)), TensorSpec("age", Datatype.FP32, (-1, 1), nullable=True)),
    (TensorSpec("label", Datatype.BYTES, (-1,)), TensorSpec("probabilities", Datatype.FP32, (-1, 2), ("no", "yes"))),
    Task.CLASSIFICATION,
)
NONCE = bytes(range(16))


class MemoryStore:
    """Keeps files in memory; away while `away` is set."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.puts = 0
        self.away = False

    def put(self, path: str, data: bytes) -> None:
        self.puts += 1
        if self.away:
            message = "the store does not answer"
            raise stores.StoreUnavailableError(message)
        self.files[path] = data


class Pod:
    """A pod; its time stands still unless it is moved."""

    def __init__(self, folder: Path, schema: Schema = NUMBERS, **settings: Any) -> None:
        self.schema, self.folder, self.store = schema, folder, MemoryStore()
        for name in ("model", "ring", "spool", "labels"):
            (folder / name).mkdir()
        (folder / "model" / "schema.json").write_text(json.dumps(schema.to_document()), encoding="utf-8")
        (folder / "model" / "manifest.json").write_text("{}", encoding="utf-8")
        self.digest = "sha256:" + hashlib.sha256(b"{}").hexdigest()
        self.settings = CaptureSettings(
            deployment="churn",
            namespace="team",
            uri="s3://lake/captured",
            model_dir=str(folder / "model"),
            ring_dir=str(folder / "ring"),
            spool_dir=str(folder / "spool"),
            labels_dir=str(folder / "labels"),
            **settings,
        )
        self.now = 1_700_000_000.0
        self.serve(NONCE)
        self.capture = self.started()

    def serve(self, nonce: bytes) -> None:
        """Start a process of the server."""
        self.issuer = Issuer(
            self.schema, version_key=self.digest[7:17], nonce=nonce.hex()[:12], now=lambda: int(self.now * 1e9)
        )
        self.ring = RingWriter.create(
            self.folder / "ring",
            "ring-0",
            self.schema,
            model="churn",
            version="churn-1",
            digest=self.digest,
            nonce=nonce,
        )
        self.recorder = _Recorder(self.ring, self.schema)

    def started(self) -> Capture:
        """Start a worker of the capture container."""
        self.counts = Counts({"namespace": "team"})
        return Capture(self.settings, "churn-abc-1", self.store, self.counts, lambda: self.now)

    def kill(self) -> None:
        """End the worker at once, and start the next one."""
        self.capture._source.close()  # pyright: ignore[reportPrivateUsage]
        self.capture._spool.close()  # pyright: ignore[reportPrivateUsage]
        self.capture = self.started()

    def answer(self, rows: int, first: int = 0) -> list[str]:
        """Answer a request as the server does; return the ids its client is given."""
        inputs, outputs = self.values(rows, first)
        mark, time = self.issuer.take(rows)
        self.recorder(rows, [*inputs, *outputs], mark, time)
        return [each.decode() for each in self.issuer.ids(outputs, mark, time)]

    def values(self, rows: int, first: int) -> tuple[list[Any], list[Any]]:
        numbers = np.arange(first, first + rows)
        scores = np.stack([np.full(rows, 0.25), np.full(rows, 0.75)], axis=1).astype(np.float32)
        if self.schema is NUMBERS:
            inputs = [np.stack([numbers, -numbers, numbers * 2], axis=1).astype(np.float32)]
            return inputs, [numbers % 2, scores]
        plans = np.array([[f"plan-{number} größer"] for number in numbers], object)
        ages = numbers.reshape(-1, 1).astype(np.float32)
        return [plans, ages], [np.array(["yes" if number % 2 else "no" for number in numbers], object), scores]

    def end(self) -> None:
        self.capture.end(self.now + 5)

    def table(self) -> Any:
        """Return all rows of all files, as pandas has them."""
        import pandas as pd  # noqa: PLC0415 - slow

        files = [data for key, data in sorted(self.store.files.items()) if "version=" in key]
        return pd.concat([pq.read_table(io.BytesIO(data)).to_pandas() for data in files], ignore_index=True)
