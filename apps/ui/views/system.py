"""Versions, dependencies, workers, and what runs now."""

from __future__ import annotations

import streamlit as st

from apps import __version__
from apps.common.schemas import ActiveRun, Dependency, Ready, Version
from apps.common.version import git_sha
from apps.ui.client import ApiProblem, Client
from apps.ui.formatting import MODE_LABELS, moment, plain
from apps.ui.glossary import GLOSSARY
from apps.ui.parts.live import follow, show_progress
from apps.ui.problems import problems_shown
from apps.ui.session import client, page_fingerprint, reader_zone


def view() -> None:
    api = client()
    with problems_shown():
        follow(api, "System", everything=True)
        ready, version = api.ready(), api.version()
        st.subheader("Runs and jobs", anchor=False)
        _show_active(api)
        st.subheader("Health", anchor=False)
        with st.container(horizontal=True):
            for name, dependency in ready.dependencies.items():
                _show_dependency(name, dependency)
        st.subheader("Versions", anchor=False)
        _show_versions(version, ready)
    with st.expander("What the words mean", icon=":material/menu_book:"):
        st.markdown(
            "\n".join(f"- **{plain(word)}**: {plain(tip)}" for word, tip in GLOSSARY.items())
        )


def _show_active(api: Client) -> None:
    active = api.active()
    if active.queue_problem:
        st.warning(plain(active.queue_problem), icon=":material/cloud_off:")
    if not active.items:
        st.caption("Nothing runs and nothing waits.")
    for run in sorted(active.items, key=_place):
        _show_run(api, run)


def _place(run: ActiveRun) -> tuple[bool, str]:
    """What runs by when it was asked for, so that no row goes down; then what waits, by turn."""
    waits = run.state == "queued"
    return waits, "" if waits else run.run_id


def _show_run(api: Client, run: ActiveRun) -> None:
    # By a key it is moved, not redrawn as another's: what is clicked is what was aimed at.
    key = f"active-{run.ep_id}-{run.run_id}"
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=key):
        mode = MODE_LABELS.get(run.execution_mode, run.execution_mode)
        st.markdown(f"**{plain(run.ep_id)}** · {mode} · {run.state.replace('_', ' ')}", width=420)
        with st.container(width=320):
            show_progress(run.ep_id, run.run_id, small=True)
        st.button(
            "Stop",
            key=f"stop-{run.ep_id}-{run.run_id}",
            icon=":material/stop:",
            on_click=_stop,
            args=(api, run),
        )


def _stop(api: Client, run: ActiveRun) -> None:
    """A refusal is a toast: the list is drawn again at once, and what stands in it goes."""
    try:
        api.stop(run)
    except ApiProblem as problem:
        st.toast(f"{plain(problem.detail)} {plain(problem.hint)}", icon=":material/error:")


def _show_dependency(name: str, dependency: Dependency) -> None:
    with st.container(border=True, width=260):
        if dependency.ok:
            st.badge(name.replace("_", " "), icon=":material/check:", color="green")
        elif dependency.required:
            st.badge(name.replace("_", " "), icon=":material/error:", color="red")
        else:
            st.badge(name.replace("_", " "), icon=":material/warning:", color="orange")
        st.caption(plain(dependency.detail))


def _show_versions(version: Version, ready: Ready) -> None:
    loaded = {"server": version.source_fingerprint, "page": page_fingerprint()}
    rows = [
        {
            "Program": "server",
            "Version": version.version,
            "Source": version.source_fingerprint,
            "Commit": version.git_sha[:10],
            "State": "stale: restart it" if version.stale else "up to date",
            "Started": moment(version.started_at, reader_zone()),
            "Running": "",
        },
        {
            "Program": "page",
            "Version": __version__,
            "Source": loaded["page"],
            "Commit": git_sha()[:10],
            "State": _against(loaded["page"], version),
        },
    ]
    rows += [
        {
            "Program": f"worker {worker.name}",
            "Version": worker.version,
            "Source": worker.source_fingerprint,
            "State": _against(worker.source_fingerprint, version),
            "Running": f"{worker.running} of {worker.concurrency}",
        }
        for worker in ready.workers
    ]
    columns = list(rows[0])
    st.dataframe(
        [{column: row.get(column, "") for column in columns} for row in rows],
        hide_index=True,
        height="content",
        alt="Versions of the programs",
    )


def _against(fingerprint: str, version: Version) -> str:
    return "as the server" if fingerprint == version.source_fingerprint else "not the server's"
