"""The page: `streamlit run apps/ui/app.py`, or rather `python -m apps.ui`.

Streamlit serves `main.py`; the routes beside it pass pictures, videos and uploads between the
browser and the API: the browser needs to reach one address only, and never sees the API's key.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from apps.ui.files import file_routes
from apps.ui.library_routes import library_routes
from apps.ui.problems import show_unexpected
from apps.ui.settings import PageSettings
from apps.ui.upload_routes import upload_routes
from apps.web.guard import Guard

settings = PageSettings.of_environment()
app = st.App(
    Path(__file__).with_name("main.py"),
    routes=[*library_routes(settings), *upload_routes(settings), *file_routes(settings)],
    middleware=[Middleware(Guard, hosts=settings.hosts, open_path="/_stcore/health")],
    on_script_error=show_unexpected,
)
