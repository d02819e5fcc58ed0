"""A web page with fal's client, and a real browser that opens it."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.clients.node import JS, NODE

CHROMIUM = shutil.which("chromium")
ESBUILD = JS / "node_modules/.bin/esbuild"
WAIT_S = 60
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",  # without it, it may end before the page has
)
HTML = b'<!doctype html><title>fal</title><script type="module" src="/page.js"></script>'

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or NODE is None or not ESBUILD.exists(),
    reason="needs Chromium (Debian: apt-get install chromium) and `npm ci` in tests/clients/js",
)


class Page:
    """The page at an origin of its own.

    Attributes:
        origin: Where it is served.
    """

    def __init__(self, port: int, seen: queue.Queue[Any], profile: Path) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self._seen = seen
        self._profile = profile

    def look(self, proxy_url: str, workflow: str) -> Any:
        """Opens it in the browser; returns what its script saw."""
        assert CHROMIUM is not None
        asked = urlencode({"proxyUrl": proxy_url, "workflow": workflow})
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={self._profile}", f"{self.origin}/?{asked}"]
        with (self._profile.parent / "chromium.log").open("wb") as log:
            browser = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        try:
            return self._seen.get(timeout=WAIT_S)
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait(WAIT_S)


def bundle(folder: Path) -> bytes:
    """The page's script with all it needs."""
    out = folder / "page.js"
    command = [str(ESBUILD), "page.mjs", "--bundle", "--format=esm", f"--outfile={out}"]
    subprocess.run(command, cwd=JS, check=True, capture_output=True, timeout=WAIT_S)
    return out.read_bytes()


@contextmanager
def page(folder: Path) -> Iterator[Page]:
    """Serves the page for the time of the block; the browser's profile is in the folder."""
    seen: queue.Queue[Any] = queue.Queue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(bundle(folder), seen))
    thread = threading.Thread(target=server.serve_forever, name="page")
    thread.start()
    try:
        yield Page(server.server_port, seen, folder / "profile")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(script: bytes, seen: queue.Queue[Any]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_script = self.path == "/page.js"
            self._answer(
                "text/javascript" if is_script else "text/html", script if is_script else HTML
            )

        def do_POST(self) -> None:
            seen.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._answer("text/plain", b"")

        def _answer(self, media_type: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", media_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keeps the test output clean."""

    return Handler
