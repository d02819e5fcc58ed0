"""The three addresses in the reply to a submit, made to lead through the recorder.

fal's Python client asks for status and result at exactly these addresses; left as they are, it would go
past the recorder. Nothing else in the reply is touched, and what is recorded is what upstream sent.
"""

from __future__ import annotations

import re
from typing import Final

from api.proxy.targets import QUEUE_ORIGIN

_URL: Final = rb'("(?:status|response|cancel)_url"\s*:\s*")(?:%s)(?=[/"])'


class Rewriting:
    """How a queue's addresses are made ours.

    Args:
        queue_url: What stands for fal's queue host.
        own_url: The recorder's address for that host.
    """

    def __init__(self, queue_url: str, own_url: str) -> None:
        bases = {queue_url.rstrip("/"), QUEUE_ORIGIN}
        known = b"|".join(re.escape(base.encode()) for base in sorted(bases, key=len, reverse=True))
        self._pattern = re.compile(_URL % known)
        self._replacement = own_url.rstrip("/").encode()

    def rewrite(self, body: bytes) -> bytes:
        """The reply with its addresses changed; as it is where it holds none of the queue's."""
        return self._pattern.sub(lambda found: found[1] + self._replacement, body)
