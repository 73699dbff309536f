"""The messages are the specification's, and the committed module is what the .proto file gives."""

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor

from modelwright_server.grpc import open_inference_pb2 as pb
from tests.server.grpc import triton

ROOT = Path(__file__).parents[3] / "model_server"
PROTO = "modelwright_server/grpc/open_inference.proto"
# Where ours has more than the specification.
EXTENSIONS = {"ModelMetadataResponse.TensorMetadata": {"parameters"}}
# In the specification, not in tritonclient's messages.
NOT_IN_TRITON = {"ModelMetadataResponse": {"properties"}}


@pytest.mark.parametrize("suffix", ["_pb2.py", "_pb2.pyi"])
def test_the_committed_module_is_what_the_proto_gives(tmp_path: Path, suffix: str) -> None:
    outputs = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}", *outputs, PROTO], check=True, cwd=ROOT)
    path = PROTO.replace(".proto", suffix)
    assert (tmp_path / path).read_text() == (ROOT / path).read_text()


def test_fields_have_the_numbers_and_types_that_tritonclient_has(elsewhere: ProcessPoolExecutor) -> None:
    ours: dict[str, dict[str, tuple[int, int, bool]]] = {}
    for message in pb.DESCRIPTOR.message_types_by_name.values():
        ours |= _fields(message)
    theirs = elsewhere.submit(triton.fields, sorted(ours)).result()
    for name, fields in ours.items():
        left_out = EXTENSIONS.get(name, set()) | NOT_IN_TRITON.get(name, set())
        assert {field: kind for field, kind in fields.items() if field not in left_out} == theirs[name], name


def test_the_service_has_the_methods_of_the_specification() -> None:
    methods = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    assert {method.name: (method.input_type.name, method.output_type.name) for method in methods} == {
        name: (f"{name}Request", f"{name}Response")
        for name in ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
    }


def _fields(message: Descriptor, outer: str = "") -> dict[str, dict[str, tuple[int, int, bool]]]:
    """The fields of a message and of those within it, without maps' entries."""
    name = outer + message.name
    found = {name: {field.name: (field.number, field.type, field.is_repeated) for field in message.fields}}
    for inner in message.nested_types:
        if not inner.GetOptions().map_entry:
            found |= _fields(inner, f"{name}.")
    return found
