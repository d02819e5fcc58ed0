"""Keys: who may call, when the settings ask."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from emulator.settings import EmulatorSettings

_SCHEMES = ("key", "bearer")


def check_key(request: Request, settings: EmulatorSettings, application: str) -> None:
    """Refuse a caller without an accepted key, if one is required.

    Raises:
        HTTPException: 401, in fal's words.
    """
    if settings.require_key is False:
        return
    key = offered_key(request)
    if key is None:
        needed = "Authentication is required to access this application."
        raise HTTPException(401, f'Cannot access application "{application}". {needed}')
    if not accepts(settings, key):
        raise HTTPException(401, "No user found for Key ID and Secret")


def offered_key(request: Request) -> str | None:
    """The key in the header, or the token with which browsers open streams."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() in _SCHEMES and key.strip():
        return key.strip()
    return request.query_params.get("fal_jwt_token") or None


def accepts(settings: EmulatorSettings, key: str) -> bool:
    """Whether the settings accept a key; without a list they accept every one."""
    return isinstance(settings.require_key, bool) or key in settings.require_key
