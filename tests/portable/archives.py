"""Portable files taken apart and put together again, as somebody would who forges one."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

MANIFEST = "manifest.json"

Edit = Callable[[Any], object]


def unpacked(data: bytes) -> dict[str, bytes]:
    """The members by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def manifest_of(data: bytes) -> Any:
    return json.loads(unpacked(data)[MANIFEST])


def lines_of(data: bytes, number: int = 1) -> list[Any]:
    """The events of the file's run of this number."""
    return [json.loads(line) for line in unpacked(data)[f"runs/{number}.ndjson"].splitlines()]


def with_manifest(data: bytes, edit: Edit) -> bytes:
    """The file with its manifest edited."""
    members = unpacked(data)
    manifest = json.loads(members[MANIFEST])
    edit(manifest)
    return packed(members | {MANIFEST: json.dumps(manifest).encode()})


def with_lines(data: bytes, edit: Edit) -> bytes:
    """The file with the events of its first run edited, and the manifest fitting them."""
    lines = lines_of(data)
    edit(lines)
    return sealed(data, b"".join(json.dumps(line).encode() + b"\n" for line in lines), len(lines))


def sealed(data: bytes, content: bytes, events: int | None = None) -> bytes:
    """The file with another content for its first run, and the manifest fitting it."""
    members = unpacked(data) | {"runs/1.ndjson": content}
    manifest = json.loads(members[MANIFEST])
    manifest["members"][0]["size_bytes"] = len(content)
    manifest["members"][0]["sha256"] = hashlib.sha256(content).hexdigest()
    if events is not None:
        manifest["runs"][0]["events"] = events
    return packed(members | {MANIFEST: json.dumps(manifest).encode()})
