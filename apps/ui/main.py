"""The script that Streamlit runs for every view: navigation, the banner, then the chosen view."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from apps.ui.client import ServerUnreachable
from apps.ui.parts import live
from apps.ui.parts.address import read_address
from apps.ui.parts.banner import show_banner
from apps.ui.problems import problems_shown
from apps.ui.session import client, session
from apps.ui.views import compare, detect_track, library, people, results, system

ASSETS = Path(__file__).with_name("assets")

st.set_page_config(
    page_title="Screenalytics Detect/Track",
    page_icon=ASSETS.joinpath("icon.svg").read_text(),  # the icons by name come from the internet
    layout="wide",
    menu_items={"about": "Finds and follows every face in television episodes."},
)
st.html(ASSETS / "page.css")
st.logo(str(ASSETS / "logo.svg"), size="large")
page = st.navigation(
    [
        st.Page(library.view, title="Library", icon=":material/video_library:", url_path="library"),
        st.Page(
            detect_track.view, title="Detect/Track", icon=":material/play_circle:", default=True
        ),
        st.Page(results.view, title="Results", icon=":material/movie:", url_path="results"),
        st.Page(people.view, title="People", icon=":material/group:", url_path="people"),
        st.Page(compare.view, title="Compare", icon=":material/balance:", url_path="compare"),
        st.Page(system.view, title="System", icon=":material/dns:", url_path="system"),
    ],
    position="top",
)
session().turn += 1
with problems_shown():
    live.begin()
    try:
        show_banner(client())
        read_address(page.url_path)
        page.run()
    except ServerUnreachable:
        live.follow_return(page.title)
        raise
