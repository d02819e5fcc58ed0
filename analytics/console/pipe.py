"""What the two processes say to each other: words and pieces of an answer, each behind its length."""

from __future__ import annotations

import struct
from typing import IO, Final

import msgspec

from analytics.console.asked import Query, Word

MAX_PIECE_BYTES: Final = 64 * 1024 * 1024
"""Whoever says more is taken for out of order."""

_HEAD: Final = struct.Struct(">cI")
_WORD: Final = b"w"
_PIECE: Final = b"p"

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_word: Final = msgspec.msgpack.Decoder(Word).decode
_decode_query: Final = msgspec.msgpack.Decoder(Query).decode


def say(pipe: IO[bytes], word: Word | Query) -> None:
    """Says a word.

    Raises:
        BrokenPipeError: Nobody listens.
    """
    _send(pipe, _WORD, _encode(word))
    pipe.flush()


def say_piece(pipe: IO[bytes], piece: bytes | memoryview) -> None:
    """Sends a piece of an answer."""
    for start in range(0, len(piece), MAX_PIECE_BYTES):
        _send(pipe, _PIECE, piece[start : start + MAX_PIECE_BYTES])


def _send(pipe: IO[bytes], kind: bytes, data: bytes | memoryview) -> None:
    pipe.write(_HEAD.pack(kind, len(data)))
    pipe.write(data)


def hear(pipe: IO[bytes]) -> Word | bytes:
    """The next word, or piece of an answer.

    Raises:
        EOFError: The other side is gone, or out of order.
    """
    kind, length = _HEAD.unpack(_exactly(pipe, _HEAD.size))
    if length > MAX_PIECE_BYTES:
        raise EOFError
    data = _exactly(pipe, length)
    if kind == _PIECE:
        return data
    try:
        word: Word = _decode_word(data)
    except msgspec.MsgspecError:
        raise EOFError from None
    return word


def hear_query(pipe: IO[bytes]) -> Query:
    """The question, which is the first thing said.

    Raises:
        EOFError: There will be none.
    """
    _, length = _HEAD.unpack(_exactly(pipe, _HEAD.size))
    return _decode_query(_exactly(pipe, length))


def _exactly(pipe: IO[bytes], number: int) -> bytes:
    data = pipe.read(number)
    if len(data) < number:
        raise EOFError
    return data
