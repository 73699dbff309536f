"""Telling people elsewhere: what events say, posted to a webhook as Slack and those like it take it.

Courtesy, aside from the passes: a hook that is slow or away delays nothing, and what it does not take is dropped and
counted.  The hook's address is a credential, so it is in a file that the chart mounts from a Secret, which the
operator itself may not read; the file is read anew for each message, as the address may be replaced.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
import structlog

from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from modelwright_operator import api
    from modelwright_operator.cluster.telemetry import Telemetry
    from modelwright_operator.plan.outcome import Event
    from modelwright_operator.settings import Settings

log = structlog.get_logger(__name__)

_WAITING: Final = 200  # messages; more are dropped
_ATTEMPTS: Final = 4
_PAUSE_SECONDS: Final = 2.0  # after the first failure; twice as long after each further one
_LONGEST_PAUSE_SECONDS: Final = 60.0
_SECONDS: Final = 10.0
_TOO_MANY: Final = 429
_FAILED: Final = 500
_ACTED_ON: Final = {Reason.APPROVAL_REQUIRED}  # normal, and somebody has to do something


def text(kind: str, namespace: str, name: str, event: Event) -> str:
    """Return an event as one line; nothing in it is a link or calls anybody, whatever a message holds.

    `&`, `<` and `>` are escaped as https://docs.slack.dev/messaging/formatting-message-text asks for.
    """
    line = f"{event.type}: {kind} {namespace}/{name} {event.reason}: {event.message}"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Notifier:
    """Posts events to the webhook of the settings, one after the other."""

    def __init__(self, settings: Settings, telemetry: Telemetry, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._file = Path(settings.webhook_file) if settings.webhook_file else None
        self._all = settings.webhook_events == "All"
        self._outcomes = telemetry.notifications
        self._pause = pause_seconds
        self._waiting: asyncio.Queue[str] = asyncio.Queue(_WAITING)

    def tell(self, resource: api.Resource, kind: str, event: Event) -> None:
        """Have an event told, if it is of those that are to be."""
        if self._file is None or not (self._all or event.type == "Warning" or event.reason in _ACTED_ON):
            return
        try:
            self._waiting.put_nowait(text(kind, resource.metadata.namespace, resource.metadata.name, event))
        except asyncio.QueueFull:
            self._outcomes.labels("dropped").inc()

    async def run(self) -> None:
        """Post for ever."""
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            while True:
                message = await self._waiting.get()
                sent = await self._post(session, message)
                self._outcomes.labels("sent" if sent else "failed").inc()

    async def _post(self, session: aiohttp.ClientSession, message: str) -> bool:
        """Post a message, more than once if that may help; tell whether it was taken."""
        pause = self._pause
        for attempt in range(1, _ATTEMPTS + 1):
            problem, again = await self._attempt(session, message)
            if problem is None:
                return True
            log.warning("webhook did not take a message", problem=problem, attempt=attempt, again=again)
            if not again or attempt == _ATTEMPTS:
                break
            await asyncio.sleep(min(pause, _LONGEST_PAUSE_SECONDS))
            pause *= 2
        return False

    async def _attempt(self, session: aiohttp.ClientSession, message: str) -> tuple[str | None, bool]:
        """Return what went wrong, and whether another attempt may help; never the address."""
        try:
            address = self._address()
            async with session.post(address, json={"text": message}, allow_redirects=False) as response:
                if response.status in range(200, 300):
                    return None, False
                again = response.status == _TOO_MANY or response.status >= _FAILED
                return f"it answered {response.status}", again
        except TimeoutError:
            return f"no answer within {_SECONDS:g} s", True
        except aiohttp.InvalidURL:
            return "the Secret holds no http:// or https:// address", False
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__, True

    def _address(self) -> str:
        assert self._file is not None  # noqa: S101  # nothing waits otherwise
        address = self._file.read_text(encoding="utf-8").strip()
        if not address.startswith(("http://", "https://")):
            raise aiohttp.InvalidURL(self._file.name)
        return address
