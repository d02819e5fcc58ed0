"""The pictures an emulator has produced, kept in memory and served under ``/media/``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import threading
import urllib.parse
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from PIL import Image

MAX_PIXELS = 2048 * 2048
"""Larger pictures are refused; all work here is done in memory."""

CONTENT_TYPE = "image/png"


class MediaError(Exception):
    """An address gives no picture. The message is made for the person who sent the address."""


class MediaStore:
    """PNG files by name, up to ``limit_bytes``; the least recently used is dropped first.

    Names are digests of the content, so the same picture always has the same address. Safe to use
    from several threads. The newest file is kept even when it alone is over the limit.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def put(self, content: bytes) -> str:
        """Keep a file and return its name."""
        name = f"{hashlib.sha256(content).hexdigest()[:32]}.png"
        with self._lock:
            if name not in self._files:
                self._size_bytes += len(content)
            self._files[name] = content
            self._files.move_to_end(name)
            while self._size_bytes > self._limit_bytes and len(self._files) > 1:
                _, dropped = self._files.popitem(last=False)
                self._size_bytes -= len(dropped)
        return name

    def get(self, name: str) -> bytes | None:
        """The file, or None when it was never kept or has been dropped."""
        with self._lock:
            if name in self._files:
                self._files.move_to_end(name)
            return self._files.get(name)


@dataclass(frozen=True)
class Media:
    """The store as one request sees it: addresses start with that request's own base URL."""

    store: MediaStore
    base_url: str

    def publish(self, picture: Image.Image) -> dict[str, Any]:
        """Keep a picture and describe it the way fal describes files."""
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=1)
        return {
            "url": f"{self._prefix}{self.store.put(buffer.getvalue())}",
            "width": picture.width,
            "height": picture.height,
            "content_type": CONTENT_TYPE,
        }

    def fetch(self, url: str) -> Image.Image:
        """The picture at an address of this server or in a ``data:`` URI. Never uses the network.

        Raises:
            MediaError: any other address, a file no longer kept, or no picture of a usable size.
        """
        if url.startswith(self._prefix):
            content = self.store.get(url.removeprefix(self._prefix))
            if content is None:
                raise MediaError("the file is not, or no longer, in the emulator's media store")
        elif url[:5].lower() == "data:":
            content = _data_uri_content(url)
        else:
            raise MediaError(f"only data: URIs and files under {self._prefix} can be read")
        return _open_picture(content)

    @property
    def _prefix(self) -> str:
        return f"{self.base_url}/media/"


def _data_uri_content(uri: str) -> bytes:
    head, comma, body = uri[5:].partition(",")
    if not comma:
        raise MediaError("the data: URI has no comma")
    try:
        content = urllib.parse.unquote_to_bytes(body)
        return base64.b64decode(content, validate=True) if head.endswith(";base64") else content
    except (binascii.Error, ValueError):
        raise MediaError("the data: URI is not valid base64") from None


def _open_picture(content: bytes) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP", "GIF"))
        if picture.width * picture.height <= MAX_PIXELS:
            picture.load()
            return picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        pass  # the warning comes as an exception where warnings are errors
    except (OSError, ValueError, SyntaxError):
        # Pillow reports broken files with any of these
        raise MediaError("the file is not a readable PNG, JPEG, WebP or GIF picture") from None
    raise MediaError(f"the picture has more than {MAX_PIXELS} pixels")
