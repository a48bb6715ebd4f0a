"""On every page: whether the server is there, and runs the code that is on disk and the page's."""

from __future__ import annotations

import streamlit as st

from apps.common.schemas import Version
from apps.ui.client import Client
from apps.ui.formatting import moment, plain
from apps.ui.session import page_fingerprint, reader_zone

_RESTART = "Restart: Ctrl-C where `make up` runs, then `make up` again."


def show_banner(client: Client) -> None:
    """Drawn again with the page when the server or its source has changed.

    Raises:
        ServerUnreachable: then there is nothing else to show.
    """
    warning = _warning(client.version())
    if warning is not None:
        st.warning(f"{warning} {_RESTART}", icon=":material/restart_alt:")


def _warning(version: Version) -> str | None:
    if version.stale:
        since = plain(moment(version.started_at, reader_zone()))
        return (
            f"**The server is stale: it runs older code than the one on disk.** It started {since}."
        )
    if version.source_fingerprint != page_fingerprint():
        return "**This page and the server run different code.** One was not restarted."
    return None
