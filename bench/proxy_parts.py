"""The processes a proxy is measured among: `python -m bench.proxy_parts upstream|bare|recorder|replay …`.

Each prints its base URL and serves until its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import threading
import time

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-fal-request-id: %s\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
PING = b": ping\r\n\r\n"


def event(size_bytes: int) -> bytes:
    """A completion of about this size that tells when it was sent, in nanoseconds."""
    sent_ns = time.monotonic_ns()
    head = f'{{"type": "completion", "node_id": "a", "output": {{"sent_ns": {sent_ns}, "text": "'
    return f'data: {head}{"x" * max(0, size_bytes - len(head) - 14)}"}}}}\r\n\r\n'.encode()


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves requests whose body says what to stream: events, interval_s, size, ping_s, batch."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            wanted = json.loads(await reader.readexactly(length))
            writer.write(HEAD % os.urandom(16).hex().encode())
            await stream(writer, wanted)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def stream(writer: asyncio.StreamWriter, wanted: dict[str, float]) -> None:
    """One answer."""
    interval_s, size = wanted.get("interval_s", 0.0), int(wanted.get("size", 400))
    for _ in range(int(wanted.get("pings", 0))):
        writer.write(chunk(PING))
        await asyncio.sleep(wanted["ping_s"])
    for number in range(int(wanted["events"])):
        writer.write(chunk(event(size)))
        if interval_s:
            await asyncio.sleep(interval_s)
        elif number % 64 == 0:
            await writer.drain()


async def upstream() -> None:
    """What stands for fal."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2048, limit=1 << 20)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


async def bare(target: str) -> None:
    """The least a proxy on aiohttp does."""
    session = ClientSession(
        auto_decompress=False, connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None)
    )

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with session.post(f"{target}{request.path}", data=body) as got:
            sent = web.StreamResponse(
                status=got.status, headers={"content-type": got.headers["content-type"]}
            )
            await sent.prepare(request)
            async for each in got.content.iter_any():
                await sent.write(each)
            await sent.write_eof()
            return sent

    app = web.Application()
    app.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def recorder(target: str, record: str) -> None:
    """Ours."""
    os.environ["RECORDER_FAL_URL"] = target
    os.environ["RECORDER_PROXY_RECORD"] = record
    from api.server import serve
    from recorder.bootstrap import open as open_recorder

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.environ["RECORDER_SPOOL"] = f"{folder}/spool"
        with open_recorder(f"sqlite:///{folder}/log.db") as rec:
            serve(rec, port=0, on_ready=lambda url: print(f"{url}/fal", flush=True))


def replay(events: int) -> None:
    """Ours, with a recorded run to play again, and the same bytes in a file."""
    from starlette.responses import FileResponse
    from starlette.routing import Route

    from api.server import ApiServer
    from bench.material import batches
    from recorder.bootstrap import open as open_recorder
    from recorder.events import Closed, NewEvent, Opened, encode_document

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.environ["RECORDER_SPOOL"] = f"{folder}/spool"
        with open_recorder(f"sqlite:///{folder}/log.db") as rec:
            opened = encode_document(Opened(workflow="workflows/b/r", source="proxy", status=200))
            closed = encode_document(Closed(reason="eof"))
            frame = batches(400, 1, 1)[0][0].frame
            rec.log.append([NewEvent("run", 0, "opened", opened, 1, 0)])
            for start in range(1, events + 1, 1_000):
                rec.log.append(
                    [
                        NewEvent("run", seq, "completion", frame, 1, seq)
                        for seq in range(start, min(start + 1_000, events + 1))
                    ]
                )
            rec.log.append([NewEvent("run", events + 1, "closed", closed, 1, events)])
            path = f"{folder}/body.sse"
            with open(path, "wb") as file:  # noqa: PTH123  # not a path of ours
                file.write(frame * events)
            with ApiServer(rec) as server:
                server.app.router.routes.insert(0, Route("/floor", lambda _: FileResponse(path)))
                print(server.url, flush=True)
                threading.Event().wait()


def usage() -> str:
    """CPU seconds and resident bytes of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm") as file:  # noqa: PTH123  # not a path of ours
        pages = int(file.read().split()[1])
    return json.dumps(
        {"cpu_s": used.ru_utime + used.ru_stime, "rss": pages * resource.getpagesize()}
    )


def obey() -> None:
    """Answers a line on standard input with what was used so far; ends with it."""
    for _ in sys.stdin:
        print(usage(), flush=True)
    os._exit(0)


def main() -> None:
    """Runs a part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["upstream", "bare", "recorder", "replay"])
    parser.add_argument("--target", default="")
    parser.add_argument("--record", default="workflows")
    parser.add_argument("--events", type=int, default=100_000)
    wanted = parser.parse_args()
    threading.Thread(target=obey, daemon=True).start()
    if wanted.part == "upstream":
        asyncio.run(upstream())
    elif wanted.part == "bare":
        asyncio.run(bare(wanted.target))
    elif wanted.part == "replay":
        replay(wanted.events)
    else:
        recorder(wanted.target, wanted.record)


if __name__ == "__main__":
    main()
