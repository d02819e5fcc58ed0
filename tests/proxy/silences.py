"""What an upstream may do with a request it has read, in place of an answer."""

from __future__ import annotations

from tests.proxy.upstream import Do, Step, chunked_head, head, sized

OK = b"HTTP/1.1 200 OK\r\n"
SILENCES: dict[str, tuple[Step, ...]] = {
    "closes": (),
    "resets": (Do.RESET,),
    "half a head": (OK + b"x-fal-request-id: half",),
    "half a head, reset": (OK + b"x-fal-request-id: half", Do.RESET),
    "an interim answer only": (b"HTTP/1.1 100 Continue\r\n\r\n",),
    "another protocol at the end": (head(None, "upgrade: x", status="101 Switching Protocols"),),
    "a page without a head": (b"<!doctype html>\n<title>502 nginx</title>\n",),
    "a banner": (b"220 mail.example ESMTP\r\n",),
    "HTTP/2": (bytes.fromhex("000012040000000000000300000064"),),
    "noughts": (bytes(5_000),),
    "no status": (b"HTTP/1.1 OK\r\n\r\n",),
    "status 000": (sized(None, b"{}", status="000 Odd"),),
    "status 600": (sized(None, b"{}", status="600 Odd"),),
    "status 999": (sized(None, b"{}", status="999 Odd"),),
    "status 1000": (sized(None, b"{}", status="1000 Odd"),),
    "two lengths": (sized(None, b"{}", "content-length: 3"),),
    "a negative length": (head(None, "content-length: -2") + b"{}",),
    "a length in words": (head(None, "content-length: two") + b"{}",),
    "chunks and a length": (chunked_head(None, "content-length: 2") + b"{}",),
    "a chunk of no size": (chunked_head(None) + b"xyz\r\n{}\r\n",),
    "more than its length": (sized(None, b"{}") + b"and on",),
    "a header too long": (head(None, f"x-fal-long: {'y' * 200_000}"),),
    "headers without end": (head(None, *(f"x-fal-{n}: {n}" for n in range(20_000))),),
}
