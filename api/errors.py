"""What the API refuses on its own account; the rest is `recorder.errors`."""

from __future__ import annotations

from typing import Final

from recorder.errors import RecorderError

_PLAIN: Final = ", and without content-encoding"


class ApiError(RecorderError):
    """Base of the API's own refusals."""


class BodyTooLarge(ApiError):
    """A request body is longer than we take; `limit_bytes` is what we do."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"a request body has at most {limit_bytes} bytes")


class NotJson(ApiError):
    """A request body is not sent as `application/json`, or compressed."""

    def __init__(self) -> None:
        super().__init__(f"send the body with content-type: application/json{_PLAIN}")


class NotZip(ApiError):
    """A request body is not sent as `application/zip`, or compressed once more."""

    def __init__(self) -> None:
        super().__init__(f"send the file with content-type: application/zip{_PLAIN}")


class TooManyRuns(ApiError):
    """As many runs as are allowed at the same time are under way."""

    retryable = True

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"{limit} runs are under way; try again when one has ended")


class ServiceStopping(ApiError):
    """The service is shutting down and begins nothing new; runs under way are broken off."""

    retryable = True

    def __init__(self) -> None:
        super().__init__("the service is shutting down")


class TargetRefused(ApiError):
    """A request names no target, or one it may not go to."""


class NotAuthenticated(ApiError):
    """The recorder would use its own key, and does not know who asks."""

    def __init__(self) -> None:
        super().__init__("send the recorder's token in x-recorder-token, or a fal key of your own")


class OriginRefused(ApiError):
    """A web page of another origin asks, which is not among those allowed."""

    def __init__(self) -> None:
        super().__init__("pages of this origin may not use the proxy (RECORDER_PROXY_ORIGINS)")


class HostRefused(ApiError):
    """A request calls the recorder by a name that it does not go by."""

    def __init__(self) -> None:
        super().__init__("the name in Host is none of this recorder's (RECORDER_HOSTS)")


class ForwardingLoop(ApiError):
    """The request has been through this recorder before."""

    def __init__(self) -> None:
        super().__init__("the recorder's upstream leads back to the recorder itself")


class UpgradeRefused(ApiError):
    """A request with a body asks to upgrade its connection, and its body would be lost."""

    def __init__(self) -> None:
        super().__init__("send the request over HTTP/1.1, without Upgrade (curl: without --http2)")


class BodyTooSlow(ApiError):
    """A request body did not arrive in time; nothing was sent on."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(f"the request body took longer than {timeout_s:g} s")


class ClientGone(ApiError):
    """The client left before its request was whole; nobody reads the answer."""


class UpstreamSilent(ApiError):
    """A request was passed on and no answer came; sent again, it may be paid for twice."""


class NothingRecorded(ApiError):
    """No recorded run answers a request that must not go to upstream."""


class WebhookRefused(ApiError):
    """A webhook is not signed by fal, not recent, or not for this recorder."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the webhook is refused: {reason}")


class KeysUnavailable(ApiError):
    """The keys fal signs webhooks with cannot be had, so none can be checked."""

    retryable = True

    def __init__(self) -> None:
        super().__init__("the keys webhooks are signed with are not known and cannot be fetched")


class NotEvents(ApiError):
    """A request body is sent as none of the types that events come as, or compressed."""

    def __init__(self, *taken: str) -> None:
        self.taken = taken
        super().__init__(f"send the body with content-type: {' or '.join(taken)}{_PLAIN}")
