"""Keys that stand twice in one JSON object: legal, ambiguous, and passed over by every parser."""

from __future__ import annotations

import json
import re
from typing import Final

_TOKEN: Final = re.compile(
    r"""
    "((?:[^"\\]++|\\.)*+)"?+  # a string; the end of the text may cut it
    (?:[ \t\n\r]*+(:))?+      # it is a key
    | ([\[{])
    | [\]}]
    """,
    re.VERBOSE,
)


def repeat_in(text: str) -> bool:
    """Whether a key of an object stands twice in it; the objects within it may do as they like.

    Takes linear time and no recursion: the answer must not depend on how deep the stack is.

    Args:
        text: The object as JSON in the sense of Python's `json`. What follows the value of a key
            may be missing, or that value with it.
    """
    depth = 0
    keys = []
    for token in _TOKEN.finditer(text):
        string, colon, opening = token.groups()
        if string is None:
            depth += 1 if opening else -1
        elif colon and depth == 1:
            keys.append(json.loads(f'"{string}"') if "\\" in string else string)
    return len(set(keys)) < len(keys)
