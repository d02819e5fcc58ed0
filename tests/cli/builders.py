"""What the tests of the command line are made with."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.main import main

STICKER = "workflows/fal-ai/sdxl-sticker"
POSTER = "workflows/fal-ai/poster-lab"


class Told(msgspec.Struct, frozen=True):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """Calls commands in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *args: str) -> Told:
        self._capfd.readouterr()
        code = main(args)
        captured = self._capfd.readouterr()
        return Told(code, captured.out, captured.err)

    def ok(self, *args: str) -> Told:
        told = self(*args)
        assert (told.code, told.err) == (0, "")
        return told


def start(
    *args: str, env: Mapping[str, str] | None = None, stderr: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """The command as a process of its own; stdout is a pipe, stderr unless told otherwise."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "cli.main", *args],
        env=os.environ | (env or {}),
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def serving(port: int, *args: str) -> subprocess.Popen[bytes]:
    """The service as a process of its own, once it answers."""
    process = start("serve", "--port", str(port), *args)
    assert process.stderr is not None
    for line in iter(process.stderr.readline, b""):
        if line.startswith(b"http://"):
            return process
    raise AssertionError("the service did not start")


def read_all(terminal: int) -> str:
    """What a terminal shows until its other side is closed, which it closes too."""
    read = bytearray()
    try:
        while chunk := os.read(terminal, 65_536):
            read += chunk
    except OSError:  # Linux's way to say that the other side is closed
        pass
    os.close(terminal)
    return read.decode()


def submit(node_id: str, app_id: str = "fal-ai/any-llm", request_id: str = "step-1") -> Any:
    return {"type": "submit", "node_id": node_id, "app_id": app_id, "request_id": request_id}


def completion(node_id: str, inference: float | None = None, **output: Any) -> Any:
    timings = {} if inference is None else {"timings": {"inference": inference}}
    return {"type": "completion", "node_id": node_id, "output": output | timings}


def output(**fields: Any) -> Any:
    return {"type": "output", "output": fields}


def error(node_id: str | None, message: str, status: int = 500, body: Any = None) -> Any:
    details = {"status": status, "body": body}
    return {"type": "error", "node_id": node_id, "message": message, "error": details}


def transcript(path: Path, *timed: tuple[float, Any]) -> str:
    """A transcript of events at seconds from the start; returns the file's name."""
    path.write_text("".join(json.dumps({"at": at, "data": data}) + "\n" for at, data in timed))
    return str(path)


def three_steps(path: Path) -> str:
    """A run of two seconds: one step after another, the last of which tells no inference."""
    return transcript(
        path,
        (0.0, submit("draw", "fal-ai/fast-sdxl", "step-draw")),
        (
            1.0,
            completion("draw", 0.5, images=[{"url": "https://x/1.png", "width": 8, "height": 9}]),
        ),
        (1.0, submit("cut", "fal-ai/imageutils/rembg", "step-cut")),
        (1.5, completion("cut", 0.5, image={"url": "https://x/2.png"})),
        (1.5, submit("stick", "fal-ai/face-to-sticker", "step-stick")),
        (2.0, completion("stick", images=[{"url": "https://x/3.png"}])),
        (2.0, output(images=[{"url": "https://x/3.png"}])),
    )
