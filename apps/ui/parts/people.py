"""The people of a run: a component of plain JavaScript modules.

People, tracks, pictures and video go from the API to the browser by way of the page's server, and
corrections the other way; no script runs when something is picked or corrected.
"""

from __future__ import annotations

from importlib.resources import files

import streamlit.components.v2 as components

from apps.ui.files import episode_path, run_path
from apps.ui.modules import LOADER, module_path
from apps.ui.parts.palette import COLOURS

_ASSETS = files("apps.ui") / "assets" / "people"
_people = components.component(
    "screenalytics_people",
    html=(_ASSETS / "people.html").read_text(),
    css=(_ASSETS / "people.css").read_text(),
    js=LOADER,
)


def show_people(ep_id: str, run_id: str, *, crops: bool) -> None:
    """Cards, timeline and player of a completed run.

    Args:
        ep_id, run_id: of the run; not `latest`.
        crops: whether the run has saved a picture of every face.
    """
    _people(
        key=f"people-{ep_id}-{run_id}",
        data={
            "module": module_path("people", "people.js"),
            "episode": episode_path(ep_id),
            "run": run_path(ep_id, run_id),
            "colours": list(COLOURS),
            "crops": crops,
        },
    )
