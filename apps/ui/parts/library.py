"""The library: cards of episodes, a component of plain JavaScript modules.

It asks and changes by way of the page's server, and is told what changes; the script runs when the
reader goes elsewhere, and not before.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, cast

import streamlit.components.v2 as components

from apps.common.names import is_name
from apps.ui.modules import LOADER, module_path

_ASSETS = files("apps.ui") / "assets" / "library"
_library = components.component(
    "screenalytics_library",
    html=(_ASSETS / "library.html").read_text(),
    css=(_ASSETS / "library.css").read_text(),
    js=LOADER,
)


@dataclass(frozen=True)
class Wish:
    """Where the reader wants to go."""

    view: Literal["run", "results"]
    ep_id: str


def show_library(profiles: list[str]) -> Wish | None:
    """The cards.

    Args:
        profiles: by which chosen episodes can be queued.

    Returns:
        A wish, once for each click.
    """
    answer = _library(
        key="library",
        data={
            "module": module_path("library", "library.js"),
            "live": module_path("live", "live.js"),
            "profiles": profiles,
        },
        on_open_change=lambda: None,
    )
    return _wish(answer.get("open"))


def _wish(value: Any) -> Wish | None:
    """What the browser told, which may be anything."""
    if not isinstance(value, dict):
        return None
    view, ep_id = value.get("view"), value.get("ep_id")
    if view not in ("run", "results") or not isinstance(ep_id, str) or not is_name(ep_id):
        return None
    return Wish(cast("Literal['run', 'results']", view), ep_id)
