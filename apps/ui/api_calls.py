"""How the routes of the page's server reach the API, and what they say where it is away."""

from __future__ import annotations

import httpx
from starlette.responses import JSONResponse, Response

from apps.common.certificates import certificates
from apps.ui.settings import PageSettings

_TIMEOUT = httpx.Timeout(600, connect=3)  # a long video is checked before its upload is answered


def api_client(settings: PageSettings, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """A client for one request that is passed on, with the API's key.

    Args:
        headers: further ones.
    """
    return httpx.AsyncClient(
        base_url=settings.base_url,
        headers={**({} if headers is None else headers), **settings.headers},
        timeout=_TIMEOUT,
        trust_env=False,
        verify=certificates(),
    )


def unreachable() -> Response:
    """The answer where the API gives none."""
    problem = {"detail": "The server does not answer.", "hint": "Start it, then try again."}
    return JSONResponse(problem, status_code=502)
