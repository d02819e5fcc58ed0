"""Submitting to the emulator's queue and following what happens there."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from logging.handlers import QueueHandler
from typing import Any

import httpx

from emulator.server import EmulatorServer
from emulator.settings import EmulatorSettings, QueueSettings
from recorder.sse import Decoder
from tests.emulator.builders import STICKER, Json, fault_header, run_node, slow

QUEUE = f"/queue{STICKER}"
HOLDING = "/queue/workflows/me/holding"
SMALL: Json = {"prompt": "a cute puppy", "seed": 1, "image_size": {"width": 96, "height": 64}}


@contextmanager
def queue_of(**settings: Any) -> Iterator[httpx.Client]:
    """A client of an emulator with these settings of the queue, and a workflow that holds on."""
    chosen = EmulatorSettings(
        workflows={"me/holding": {"hold": run_node("x")}},
        queue=QueueSettings(**({"webhook_pause_s": 0} | settings)),
    )
    with EmulatorServer(chosen) as server, httpx.Client(base_url=server.url, timeout=30) as http:
        yield http


def submit(
    client: httpx.Client,
    body: Json = SMALL,
    path: str = QUEUE,
    to: str | None = None,
    **faults: object,
) -> Json:
    """The reply to an accepted request."""
    answer = client.post(
        path,
        json=body,
        params={} if to is None else {"fal_webhook": to},
        headers=fault_header(**faults) if faults else {},
    )
    assert answer.status_code == 200, answer.text
    reply: Json = answer.json()
    return reply


def hold_a_runner(client: httpx.Client) -> Json:
    """The reply to a request that stays in progress until it is cancelled."""
    return submit(client, {}, HOLDING, apps=slow(600))


def statuses(response: httpx.Response) -> Iterator[Json]:
    """The events of a status stream as they come."""
    decoder = Decoder()
    for chunk in response.iter_raw():
        for frame in decoder.feed(chunk):
            yield json.loads(frame.data)
    assert decoder.close() == b""


def follow(client: httpx.Client, reply: Json, logs: str = "0") -> list[Json]:
    """Every status of a request until it has ended."""
    url = f"{reply['status_url']}/stream"
    with client.stream("GET", url, params={"logs": logs}) as response:
        assert response.status_code == 200
        return list(statuses(response))


@dataclass(frozen=True)
class Delivery:
    """A webhook as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A receiver of webhooks; the deliveries come out in order of arrival."""

    def __init__(self, url: str, deliveries: queue.Queue[Delivery]) -> None:
        self.url = url
        self._deliveries = deliveries

    def next(self) -> Delivery:
        """The next delivery, waited for."""
        return self._deliveries.get(timeout=30)

    def nothing_more(self) -> bool:
        """Whether all deliveries have been taken."""
        return self._deliveries.empty()


@contextmanager
def receiver(answers: Sequence[int] = ()) -> Iterator[Receiver]:
    """A receiver that answers these statuses, then always 200; 0 means no answer until the end."""
    left = iter(answers)
    deliveries: queue.Queue[Delivery] = queue.Queue()
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name http.server calls
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            deliveries.put(Delivery(self.path, headers, body))
            status = next(left, 200)
            if status == 0:
                over.wait()
                return
            self.send_response(status)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keeps the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Receiver(f"http://127.0.0.1:{server.server_port}/hook", deliveries)
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def given_up_webhooks() -> Iterator[queue.Queue[logging.LogRecord]]:
    """What the emulator logs meanwhile about webhooks that nobody accepted."""
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    handler = QueueHandler(records)
    logger = logging.getLogger("emulator.queue.webhooks")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
