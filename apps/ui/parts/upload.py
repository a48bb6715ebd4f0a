"""Uploading episodes: the browser sends them through the page's server, which holds none of them.

Streamlit's own uploader would keep whole videos in memory. What is live is JavaScript
(`assets/upload/`); this script learns only of episodes that are there.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import streamlit as st
import streamlit.components.v2 as components

from apps.common.names import NAME_PATTERN, is_name
from apps.ui.formatting import plain
from apps.ui.modules import LOADER, module_path
from apps.ui.upload_routes import UPLOADS_PATH

_ASSETS = files("apps.ui") / "assets" / "upload"
_uploads = components.component(
    "screenalytics_upload",
    html=(_ASSETS / "upload.html").read_text(),
    css=(_ASSETS / "upload.css").read_text(),
    js=LOADER,
)


def show_upload() -> None:
    """A form that adds episodes. The server checks that each video decodes."""
    with st.expander("Upload episodes", icon=":material/upload:"):
        answer = _uploads(
            key="upload",
            data={
                "module": module_path("upload", "upload.js"),
                "url": UPLOADS_PATH,
                "pattern": NAME_PATTERN[1:-1],
            },
            on_uploaded_change=lambda: None,
        )
    if answer.uploaded is not None:
        st.session_state["uploaded"] = answer.uploaded
        st.rerun()


def choose_uploaded() -> None:
    """Says which episodes were just uploaded, and selects one that came alone.

    Before the box that chooses is drawn.
    """
    names, chosen = _told(st.session_state.pop("uploaded", None))
    if chosen is not None:
        st.session_state["episode"] = chosen
    known: set[str] = st.session_state.setdefault("uploads_told", set())
    for name in names:
        if name not in known:
            known.add(name)
            st.toast(f"{plain(name)} is there.", icon=":material/check_circle:")


def _told(value: Any) -> tuple[list[str], str | None]:
    """What the browser told, which may be anything."""
    if not isinstance(value, dict) or not isinstance(value.get("names"), list):
        return [], None
    names = [name for name in value["names"] if isinstance(name, str) and is_name(name)]
    chosen = value.get("chosen")
    return names, chosen if chosen in names else None
