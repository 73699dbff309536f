"""A real browser without a window: Chromium, driven over a pipe by its own protocol, so that nothing else is needed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

Raw = dict[str, Any]
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
REQUIRED = "MODELWRIGHT_BROWSER_REQUIRED"
"""Set in CI: without a browser its tests fail there."""
_SECONDS = 30.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has none in a container
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    "--font-render-hinting=none",
    "--no-proxy-server",
)


class BrowserError(RuntimeError):
    """The browser, or a page in it, did something else than was wanted."""


class Browser:
    """One page of one browser.

    Attributes:
        complaints: what the page's console said of errors.
        asked: addresses that the page asked for.
    """

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._left = b""
        self._number = 0
        self._session = ""
        self.complaints: list[str] = []
        self.asked: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self.size(1280, 900)

    def size(self, width: int, height: int) -> None:
        """Have a window of this size."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: Literal["light", "dark"]) -> None:
        """Have a reader who prefers light or dark."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self._call("Emulation.setEmulatedMedia", features=features)

    def open(self, address: str) -> None:
        """Go to a page, and wait until it is there.

        Raises:
            BrowserError: it is not.
        """
        went = self._call("Page.navigate", url=address)
        if "errorText" in went:
            message = f"{address}: {went['errorText']}"
            raise BrowserError(message)
        self.until(f"document.readyState === 'complete' && location.href !== 'about:blank' && {self._at(address)}")

    def _at(self, address: str) -> str:
        scheme = address.partition(":")[0]
        return f"location.protocol === {json.dumps(scheme + ':')}"

    def run(self, script: str) -> Any:
        """Return what a script in the page comes to.

        Raises:
            BrowserError: it failed.
        """
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise BrowserError(str(details.get("exception", details).get("description", details)))
        return found["result"].get("value")

    def until(self, script: str, seconds: float = _SECONDS) -> Any:
        """Wait until a script in the page comes to something true; return it.

        Raises:
            BrowserError: it does not in time.
        """
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            if time.monotonic() >= end:
                message = f"not within {seconds} s: {script}\n{self.text()}"
                raise BrowserError(message)
            time.sleep(0.1)
        return found

    def text(self) -> str:
        """Return what can be read on the page."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def key(self, key: str, code: int) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, file: Path, height: int | None = None) -> None:
        """Keep what is seen, from the top; of the whole page, or so many pixels of it."""
        whole = int(self.run("document.documentElement.scrollHeight"))
        width = int(self.run("innerWidth"))
        clip = {"x": 0, "y": 0, "width": width, "height": min(height or whole, whole), "scale": 1}
        made = self._call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(made["data"]))

    def _call(self, method: str, **parameters: Any) -> Raw:
        self._number += 1
        message: Raw = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == self._number:
                if "error" in said:
                    raise BrowserError(f"{method}: {said['error']}")  # noqa: EM102, TRY003 - a driver's own words
                return dict(said["result"])
            self._note(said)

    def _next(self) -> Raw:
        while b"\0" not in self._left:
            more = os.read(self._back, 1 << 20)
            if not more:
                message = "the browser ended"
                raise BrowserError(message)
            self._left += more
        said, _, self._left = self._left.partition(b"\0")
        return dict(json.loads(said))

    def _note(self, said: Raw) -> None:
        method, told = said.get("method"), said.get("params", {})
        if method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")


def program() -> str | None:
    """Return the browser that is here."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Generator[Browser]:
    """Have a browser.

    Raises:
        BrowserError: there is none.
    """
    path = program()
    if path is None:
        message = "there is no Chromium: python -m tests.support.browser installs it where apt-get can"
        raise BrowserError(message)
    to_read, to_write = os.pipe()
    back_read, back_write = os.pipe()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # The protocol is spoken on descriptors 3 and 4.
        shell = f'exec "$0" "$@" 3<&{to_read} 4>&{back_write}'
        command = ["bash", "-c", shell, path, *_FLAGS, f"--user-data-dir={folder}"]
        process = subprocess.Popen(
            command, pass_fds=(to_read, back_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(back_write)
        try:
            yield Browser(to_write, back_read)
        finally:
            os.close(to_write)
            os.close(back_read)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def chromium() -> Generator[Browser]:
    """Give a browser of its own to a test, with one page."""
    if program() is None and not os.environ.get(REQUIRED):
        pytest.skip("there is no Chromium: python -m tests.support.browser installs it where apt-get can")
    with browser() as found:
        yield found


def ensure() -> str:
    """Install a browser where there is none and Debian's packages can be had; return why there still is none."""
    if program():
        return ""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return "no Chromium is installed, and only root can install it by apt-get"
    print("installing chromium", flush=True)
    install = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q", "--no-install-recommends"]
    for command in (["apt-get", "update", "-q"], [*install, "chromium"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"Chromium cannot be installed: {' '.join(done.stderr.split())[-300:]}"
    return "" if program() else "Chromium cannot be installed: Debian's package has no program of that name"


if __name__ == "__main__":
    if said := ensure():
        print(f"{said}: tests of what browsers show are skipped")
        sys.exit(1 if os.environ.get(REQUIRED) else 0)
