"""What two runs of an episode have found: a component of plain JavaScript modules.

Tracks and differences go from the API to the browser by way of the page's server.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from urllib.parse import urlencode

import streamlit as st
import streamlit.components.v2 as components

from apps.common.schemas import RunSummary
from apps.ui.client import Client
from apps.ui.files import episode_path, review_module_path, run_path
from apps.ui.formatting import OPTION_LABELS
from apps.ui.modules import LOADER
from apps.ui.parts.palette import COLOURS

_ASSETS = files("apps.ui") / "assets" / "review"
_RESULTS = "results"  # beside this view's own address
_differences = components.component(
    "screenalytics_differences",
    html=(_ASSETS / "differences.html").read_text(),
    css=(_ASSETS / "differences.css").read_text(),
    js=LOADER,
)


def what_was_found(api: Client, ep_id: str, label: Callable[[RunSummary], str]) -> None:
    """Two completed runs to choose, and how they differ.

    Args:
        label: what a run is called in the choice.
    """
    completed = {run.run_id: run for run in api.runs(ep_id).items if run.status == "completed"}
    if len(completed) < 2:
        st.info("**Two completed runs are needed.**", icon=":material/compare_arrows:")
        return
    names = list(completed)
    chosen = []
    for letter, place, column in zip("AB", (0, 1), st.columns(2), strict=True):
        with column:
            run_id = st.selectbox(
                f"Run {letter}",
                names,
                index=place,
                format_func=lambda run_id: label(completed[run_id]),
                key=f"differences-{letter}-{ep_id}",
            )
            chosen.append(run_id)
    run_a, run_b = chosen
    if run_a == run_b:
        st.info("Choose two different runs.", icon=":material/compare_arrows:")
        return
    query = urlencode({"a": run_a, "b": run_b})
    _differences(
        key=f"differences-{ep_id}",
        data={
            "module": review_module_path("differences.js"),
            "differences": f"{episode_path(ep_id)}/differences?{query}",
            "runs": {"a": run_path(ep_id, run_a), "b": run_path(ep_id, run_b)},
            "episode": ep_id,
            "results": _RESULTS,
            "labels": OPTION_LABELS,
            "colours": list(COLOURS),
        },
    )
