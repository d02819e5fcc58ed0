"""Capture: what of the HTTP traffic with fal is a run, and how it is recorded.

The same rules for the proxy, which passes requests on, and for the SDK, which sits inside fal's client.
"""

from recorder.capture.capture import Capture, Recorded
from recorder.capture.endpoints import Endpoint, Host, endpoint_of, sent_with
from recorder.capture.queue_taps import MAX_PART_BYTES
from recorder.capture.queued import has_outcome
from recorder.capture.taps import Call, Headers, NoTap, Tap

__all__ = [
    "MAX_PART_BYTES",
    "Call",
    "Capture",
    "Endpoint",
    "Headers",
    "Host",
    "NoTap",
    "Recorded",
    "Tap",
    "endpoint_of",
    "has_outcome",
    "sent_with",
]
