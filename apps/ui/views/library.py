"""All episodes: look for them, name, run and delete them."""

from __future__ import annotations

import streamlit as st

from apps.ui.client import ApiProblem
from apps.ui.parts.library import Wish, show_library
from apps.ui.parts.live import follow
from apps.ui.parts.upload import choose_uploaded, show_upload
from apps.ui.session import client, offer
from apps.ui.views import detect_track, results


def view() -> None:
    choose_uploaded()
    follow(client(), "Library", hold=True)  # the cards follow by themselves
    wish = show_library(_profiles())
    show_upload()
    if wish is not None:
        _go(wish)


def _profiles() -> list[str]:
    try:
        return [profile.name for profile in offer().profiles]
    except ApiProblem:  # the cards say themselves that the server is away
        return []


def _go(wish: Wish) -> None:
    page = (
        st.Page(results.view, title="Results", url_path="results")
        if wish.view == "results"
        else st.Page(detect_track.view, title="Detect/Track", default=True)
    )
    st.session_state["episode"] = wish.ep_id
    st.switch_page(page, query_params={"episode": wish.ep_id})
