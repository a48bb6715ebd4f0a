"""Uploading an episode: the browser sends it through the page's server, which holds none of it.

Streamlit's own uploader would keep the whole video in memory.
"""

from __future__ import annotations

from importlib.resources import files

import streamlit as st
import streamlit.components.v2 as components

from apps.common.names import NAME_PATTERN
from apps.ui.files import UPLOAD_PATH
from apps.ui.formatting import plain

_ASSETS = files("apps.ui") / "assets"
_form = components.component(
    "screenalytics_upload",
    html=(_ASSETS / "upload.html").read_text(),
    css=(_ASSETS / "upload.css").read_text(),
    js=(_ASSETS / "upload.js").read_text(),
)


def show_upload() -> None:
    """A form that adds an episode. The server checks that the video decodes."""
    with st.expander("Upload an episode", icon=":material/upload:"):
        answer = _form(
            key="upload",
            data={"url": UPLOAD_PATH, "pattern": NAME_PATTERN},
            on_uploaded_change=lambda: None,
        )
    if answer.uploaded is not None:
        st.session_state["uploaded"] = answer.uploaded
        st.rerun()


def choose_uploaded() -> None:
    """Selects the episode that was just uploaded. Before the box that chooses is drawn."""
    name = st.session_state.pop("uploaded", None)
    if name is not None:
        st.session_state["episode"] = name
        st.toast(f"{plain(name)} is there.", icon=":material/check_circle:")
