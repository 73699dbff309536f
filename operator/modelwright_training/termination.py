"""The termination message: one JSON object a stage leaves behind for the operator."""

import dataclasses
from pathlib import Path

from modelwright_training.contract import (
    FAILURE_TEXT_LIMIT,
    MESSAGE_LIMIT,
    EvaluateResult,
    Failure,
    Metric,
    PublishResult,
    Reason,
    Result,
    SplitResult,
    Stage,
)
from modelwright_training.errors import StageError
from modelwright_training.strict_json import dumps


def result_text(result: Result) -> str:
    """Return the message of a stage that is done.

    Raises:
        StageError: ResultTooLarge, when it cannot fit. What the artifact has anyway is given up first: the schema of
            a publish result, intervals and groups of an evaluate result, warnings of a split result.

    """
    text = dumps(result)
    if len(text.encode()) > MESSAGE_LIMIT:
        text = dumps(_shorter(result))
    if len(text.encode()) > MESSAGE_LIMIT:
        message = (
            f"the result of stage {result.stage} has {len(text.encode())} bytes, more than the {MESSAGE_LIMIT} a pod"
            " can hand back; use fewer data sets with shorter names"
        )
        raise StageError(Reason.RESULT_TOO_LARGE, message)
    return text


def _shorter(result: Result) -> Result:
    match result:
        case PublishResult():
            return dataclasses.replace(result, schema=None)
        case SplitResult():
            return dataclasses.replace(result, warnings=())
        case EvaluateResult():
            metrics = tuple(Metric(item.name, item.value) for item in result.metrics)
            gates = tuple(dataclasses.replace(item, group=None) for item in result.gates)
            return dataclasses.replace(result, metrics=metrics, gates=gates)
        case _:
            return result


def failure_text(stage: Stage, error: StageError) -> str:
    """Return the message of a stage that gave up, its text cut to what fits, whatever needs escaping in it."""
    message = "".join(character if character.isprintable() else " " for character in str(error))
    message = message.encode(errors="replace").decode()
    while True:
        cut = _cut(message, FAILURE_TEXT_LIMIT)
        text = dumps(Failure(stage, error.reason, cut))
        if len(text.encode()) <= MESSAGE_LIMIT:
            return text
        message = message[: len(message) // 2]


def write(text: str, path: Path) -> None:
    """Write the message where the kubelet looks for it."""
    path.write_text(text, encoding="utf-8")


def _cut(text: str, limit: int) -> str:
    """Cut `text` to at most `limit` bytes of UTF-8, marking the cut."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[: limit - 3].decode(errors="ignore") + "…"
