"""Events at a webhook: which, how, and what becomes of them where it does not take them."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from modelwright_operator import api, naming
from modelwright_operator.cluster.notify import Notifier, text
from modelwright_operator.cluster.telemetry import Telemetry
from modelwright_operator.plan.outcome import Event
from tests.support import builders as make

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

WARNING = Event("Warning", "RolledBack", "churn-2 was rolled back")
NORMAL = Event("Normal", "Available", "churn-1 answers requests")
APPROVAL = Event("Normal", "ApprovalRequired", "step 2 of 3 waits")
SUBJECT = api.Deployment.model_validate(make.deployment().raw)


def outcome(telemetry: Telemetry, name: str) -> float:
    return telemetry.registry.get_sample_value("modelwright_operator_notifications_total", {"outcome": name}) or 0.0


class Hook:
    """A webhook that answers with these statuses, one after the other and the last for ever."""

    def __init__(self, statuses: Sequence[int]) -> None:
        self.statuses = list(statuses)
        self.taken: list[tuple[object, int]] = []
        self.telemetry = Telemetry()

    async def answer(self, request: web.Request) -> web.Response:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.taken.append((await request.json(), status))
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:1/"})

    async def until(self, name: str, count: float) -> None:
        async with asyncio.timeout(10):
            while outcome(self.telemetry, name) < count:  # noqa: ASYNC110 - a counter has no event
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(folder: Path, *statuses: int, events: str = "Warnings") -> AsyncIterator[tuple[Hook, Notifier, Path]]:
    hook = Hook(statuses)
    application = web.Application()
    application.router.add_post("/services/T0/secret", hook.answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    file = folder / "url"
    file.write_text(f"http://127.0.0.1:{runner.addresses[0][1]}/services/T0/secret\n", encoding="utf-8")
    settings = replace(make.SETTINGS, webhook_file=str(file), webhook_events=events)
    notifier = Notifier(settings, hook.telemetry, pause_seconds=0.001)
    task = asyncio.create_task(notifier.run())
    try:
        yield hook, notifier, file
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


def tell(notifier: Notifier, *events: Event) -> None:
    for event in events:
        notifier.tell(SUBJECT, naming.DEPLOYMENT, event)


@pytest.mark.parametrize(
    ("events", "expected"),
    [("Warnings", ["RolledBack", "ApprovalRequired"]), ("All", ["RolledBack", "Available", "ApprovalRequired"])],
)
async def test_what_is_told(tmp_path: Path, events: str, expected: list[str]) -> None:
    async with running(tmp_path, 200, events=events) as (hook, notifier, _):
        tell(notifier, WARNING, NORMAL, APPROVAL)
        await hook.until("sent", len(expected))
    kind = {"RolledBack": "Warning: ", "Available": "Normal: ", "ApprovalRequired": "Normal: "}
    told = {event.reason: event.message for event in (WARNING, NORMAL, APPROVAL)}
    assert [body for body, _ in hook.taken] == [
        {"text": f"{kind[reason]}Deployment {make.NAMESPACE}/churn {reason}: {told[reason]}"} for reason in expected
    ]


async def test_without_a_webhook_nothing_waits() -> None:
    telemetry = Telemetry()
    notifier = Notifier(make.SETTINGS, telemetry)
    tell(notifier, *[WARNING] * 1000)
    assert outcome(telemetry, "dropped") == 0


@pytest.mark.parametrize(
    ("statuses", "outcome", "attempts"),
    [
        pytest.param([500, 429, 200], "sent", 3, id="tried again"),
        pytest.param([503], "failed", 4, id="not for ever"),
        pytest.param([404], "failed", 1, id="not where it does not help"),
        pytest.param([302], "failed", 1, id="no redirect is followed"),
    ],
)
async def test_a_hook_that_does_not_take_it(tmp_path: Path, statuses: list[int], outcome: str, attempts: int) -> None:
    async with running(tmp_path, *statuses) as (hook, notifier, _):
        tell(notifier, WARNING)
        await hook.until(outcome, 1)
        assert len(hook.taken) == attempts
        hook.statuses = [200]
        tell(notifier, WARNING)
        await hook.until("sent", 1 + (outcome == "sent"))


async def test_the_address_is_read_anew_and_never_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path, 200) as (hook, notifier, file):
        address = file.read_text(encoding="utf-8")
        for wrong in ("ftp://secret.test/x", "http://127.0.0.1:1/secret", "http:// secret"):
            file.write_text(wrong, encoding="utf-8")
            before = outcome(hook.telemetry, "failed")
            tell(notifier, WARNING)
            await hook.until("failed", before + 1)
        file.unlink()
        tell(notifier, WARNING)
        await hook.until("failed", 4)
        file.write_text(address, encoding="utf-8")
        tell(notifier, WARNING)
        await hook.until("sent", 1)
    assert "secret" not in "".join(capsys.readouterr())


async def test_more_than_can_wait_is_dropped_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("http://127.0.0.1:1/", encoding="utf-8")
    telemetry = Telemetry()
    notifier = Notifier(replace(make.SETTINGS, webhook_file=str(file)), telemetry)
    tell(notifier, *[WARNING] * 250)  # nobody posts
    assert outcome(telemetry, "dropped") == 50


def test_a_message_calls_nobody() -> None:
    line = text("Deployment", "team", "churn", Event("Warning", "RolledBack", "<!channel> & <https://evil.test|here>"))
    assert line.endswith("&lt;!channel&gt; &amp; &lt;https://evil.test|here&gt;")
