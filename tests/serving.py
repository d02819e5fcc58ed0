"""A web server with the documents a test puts there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.logs import WAIT_S


@dataclass(frozen=True)
class Page:
    """What is at a path; answered once `ready` is set."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ready: threading.Event | None = None


@dataclass(frozen=True)
class Asked:
    """A request that came, names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Site:
    """A web server's content.

    Attributes:
        url: Its address, without a path.
        pages: By path; whatever is not there is a 404. May be changed at any time.
        asked: The requests so far, in order of arrival.
    """

    def __init__(self, url: str, pages: dict[str, Page]) -> None:
        self.url = url
        self.pages = pages
        self.asked: list[Asked] = []
        self._arrived: queue.Queue[Asked] = queue.Queue()

    def next(self) -> Asked:
        """The next request, waited for."""
        return self._arrived.get(timeout=WAIT_S)

    def answer(self, asked: Asked) -> Page:
        self.asked.append(asked)
        page = self.pages.get(asked.path, Page(status=404))
        self._arrived.put(asked)
        return page


@contextmanager
def site(pages: dict[str, Page] | None = None) -> Iterator[Site]:
    """Serves pages on a local port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name http.server calls
            self._answer()

        def do_POST(self) -> None:  # likewise
            self._answer()

        def _answer(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, self.rfile.read(length))
            page = served.answer(asked)
            if page.ready is not None:
                page.ready.wait(WAIT_S)
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, *_: object) -> None:
            """Keeps the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Site(f"http://127.0.0.1:{server.server_port}", pages or {})
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="site")
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
