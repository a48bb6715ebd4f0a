"""Links from one view to another."""

from __future__ import annotations

import streamlit as st

from apps.ui.views import results


def link_to_results(ep_id: str, run_id: str, label: str = "Look at the tracks") -> None:
    """What to do next after a run, so it looks like the view's main button."""
    with st.container(key="to-results"):
        st.page_link(
            st.Page(results.view, title="Results", url_path="results"),
            label=label,
            icon=":material/movie:",
            query_params={"episode": ep_id, "run": run_id},
        )
