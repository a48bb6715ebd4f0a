"""JavaScript modules of the page's components, under an address of their content.

One address for all folders, so that a module may import those of another component.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

FOLDERS = ("review", "live", "upload", "library", "people")  # of `assets`
_PREFIX = "/files/modules"
_FOR_EVER = "private, max-age=31536000, immutable"  # another content has another address
# Streamlit takes one text and sends it with every redraw, so it only fetches the modules. The text
# has an address of its own kind, to which theirs would not be relative.
LOADER = """export default async function (component) {
  const made = await import(new URL(component.data.module, document.baseURI).href);
  return made.default(component);
}"""


def module_path(folder: str, name: str) -> str:
    """Where a module is served, by the page's server; beside it are the others."""
    _, version = _modules()
    return f"{_PREFIX}/{version}/{folder}/{name}"


def module_route() -> Route:
    return Route(f"{_PREFIX}/{{version}}/{{folder}}/{{name}}", _module, methods=["GET"])


@cache
def _modules() -> tuple[dict[tuple[str, str], bytes], str]:
    """The modules by folder and name, and what tells these from others; as when first asked for."""
    assets = files("apps.ui") / "assets"
    modules = {
        (folder, file.name): file.read_bytes()
        for folder in FOLDERS
        for file in (assets / folder).iterdir()
        if file.name.endswith(".js")
    }
    digest = hashlib.sha256(b"\0".join(content for _, content in sorted(modules.items())))
    return modules, digest.hexdigest()[:16]


async def _module(request: Request) -> Response:
    wanted = request.path_params
    modules, version = _modules()
    content = modules.get((wanted["folder"], wanted["name"]))
    if content is None or wanted["version"] != version:
        # One of another version would not fit the others.
        return PlainTextResponse("There is no such module. Reload the page.", status_code=404)
    return Response(content, media_type="text/javascript", headers={"cache-control": _FOR_EVER})
