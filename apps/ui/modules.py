"""Modules of JavaScript that a component of the page consists of, and where they are served."""

from __future__ import annotations

import hashlib
from functools import cached_property
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_FOR_EVER = "private, max-age=31536000, immutable"  # another content has another address


class Modules:
    """The modules in a folder of `assets`, as they were when first asked for.

    Args:
        name: of the folder.
        prefix: of their address.
    """

    def __init__(self, name: str, prefix: str) -> None:
        self._name = name
        self._prefix = prefix

    def path_of(self, name: str) -> str:
        """The address of one. The content of all decides it, so it may be kept."""
        return f"{self._prefix}/{self._version}/{name}"

    @property
    def route(self) -> Route:
        return Route(f"{self._prefix}/{{version}}/{{name}}", self._serve, methods=["GET"])

    @cached_property
    def _contents(self) -> dict[str, bytes]:
        folder = files("apps.ui") / "assets" / self._name
        return {
            file.name: file.read_bytes() for file in folder.iterdir() if file.name[-3:] == ".js"
        }

    @cached_property
    def _version(self) -> str:
        """Tells these modules from others."""
        contents = b"\0".join(content for _, content in sorted(self._contents.items()))
        return hashlib.sha256(contents).hexdigest()[:16]

    async def _serve(self, request: Request) -> Response:
        content = self._contents.get(request.path_params["name"])
        if content is None or request.path_params["version"] != self._version:
            # One of another version would not fit the others.
            return PlainTextResponse("There is no such module. Reload the page.", status_code=404)
        return Response(content, media_type="text/javascript", headers={"cache-control": _FOR_EVER})
