"""The pool of connections to the canary, where timing is all."""

from __future__ import annotations

import asyncio

from modelwright_server.routing.answers import Answer, Outcome
from modelwright_server.routing.pool import Pool
from tests.server.routing.canaries import absent

PATIENCE_SECONDS = 60.0


async def test_a_request_that_comes_just_as_another_one_fails_fails_as_soon() -> None:
    """It had been left waiting for a connection that nobody opened, until its time was over."""
    results: list[Answer | Outcome] = []
    both = asyncio.Event()
    with absent() as port:
        size = 1 << 20
        pool = Pool("127.0.0.1", port, most=4, most_request_bytes=size, most_answer_bytes=size)

        def failed(result: Answer | Outcome) -> None:
            results.append(result)
            if len(results) == 1:
                assert pool.send((b"x",), PATIENCE_SECONDS, failed)
            else:
                both.set()

        assert pool.send((b"x",), PATIENCE_SECONDS, failed)
        await asyncio.wait_for(both.wait(), PATIENCE_SECONDS / 2)
        pool.close()
    assert results == [Outcome.UNREACHABLE, Outcome.UNREACHABLE]
