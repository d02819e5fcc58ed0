"""What the API refuses on its own account; the rest is `recorder.errors`."""

from __future__ import annotations

from recorder.errors import RecorderError


class ApiError(RecorderError):
    """Base of the API's own refusals."""


class BodyTooLarge(ApiError):
    """A request body is longer than we take; `limit_bytes` is what we do."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"a request body has at most {limit_bytes} bytes")


class NotJson(ApiError):
    """A request body is not sent as `application/json`."""

    def __init__(self) -> None:
        super().__init__("send the body with content-type: application/json")


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
