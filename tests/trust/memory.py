"""What a process takes of memory, by the kernel's count; Linux only."""

from __future__ import annotations

import re
from pathlib import Path


def rss_bytes() -> int:
    """What this process takes now."""
    return _status_bytes("VmRSS")


def peak_rss_bytes() -> int:
    """The most this process has taken since its program began; `getrusage` counts what ran before it, too."""
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
