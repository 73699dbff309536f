"""A proxy before an S3 server that fails by rules; its text runs in a pod, so it is the standard library alone.

A rule is `{"host", "method", "path", "how", "times"}`: so many requests to that host, whose path ends so, are

    busy     answered 503
    drop     cut while their body is sent; the server never hears of them
    cut      passed on, and their answer cut: nothing of it is sent, or half of its body
    stall    passed on, and their answer left hanging: nothing more is sent after the same half

Each failure made is a line of the output. Everything else is passed on whole; signatures hold, since Host stays.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import threading
from contextlib import closing, suppress
from urllib.parse import urlsplit

LONGEST = 300.0


class Rules:
    """What is to fail yet."""

    def __init__(self, rules: list[dict[str, object]]) -> None:
        self._rules, self._lock = rules, threading.Lock()

    def take(self, host: str, method: str, path: str) -> str:
        """Return how this request fails; an empty text: not at all."""
        with self._lock:
            for rule in self._rules:
                fits = (rule["host"], rule["method"]) == (host, method) and path.endswith(str(rule["path"]))
                left = rule["times"]
                if fits and isinstance(left, int) and left > 0:
                    rule["times"] = left - 1
                    return str(rule["how"])
        return ""


class Handler(http.server.BaseHTTPRequestHandler):
    """One request after the other of a connection."""

    protocol_version = "HTTP/1.1"
    rules: Rules
    target: str

    def answer(self) -> None:
        """Pass the request on, or fail."""
        host = self.headers.get("Host", "").partition(":")[0].partition(".")[0]
        path = urlsplit(self.path).path
        how = self.rules.take(host, self.command, path)
        if how:
            # One write for a whole line: requests are handled side by side.
            print(f"{host} {self.command} {path.rpartition('/')[2]} {how}\n", end="", flush=True)
        length = int(self.headers.get("Content-Length") or 0)
        if how == "drop":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if how == "busy":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with closing(http.client.HTTPConnection(self.target)) as onward:
            onward.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                onward.putheader(name, value)
            onward.endheaders(body)
            found = onward.getresponse()
            data = found.read()
        self.close_connection = bool(how)
        if how and not data:
            self.wait(how)
            return
        self.send_response(found.status)
        for name, value in found.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data[: len(data) // 2] if how else data)
            self.wfile.flush()
            self.wait(how)

    def wait(self, how: str) -> None:
        """Leave the client hanging until it goes."""
        if how == "stall":
            self.connection.settimeout(LONGEST)
            with suppress(OSError):
                self.connection.recv(1)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until killed."""
    Handler.rules = Rules(json.loads(os.environ["RULES"]))
    Handler.target = os.environ["TARGET"]
    server = http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
