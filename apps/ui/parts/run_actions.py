"""What is done to a run as a whole: a title, the trash, and back out of it."""

from __future__ import annotations

import streamlit as st

from apps.common.library_schemas import TITLE_LENGTH, TrashEntry
from apps.common.schemas import RunSummary
from apps.ui.client import Client
from apps.ui.formatting import plain, size
from apps.ui.parts.run_picker import forget_choice
from apps.ui.problems import problems_shown


def show_run_actions(api: Client, run: RunSummary) -> None:
    """A menu beside the box of runs."""
    # A menu of another key is a menu anew, and closed: after a new title as well.
    key = f"run-actions-{run.run_id}-{run.title}"
    with st.popover("This run", icon=":material/more_horiz:", key=key), problems_shown():
        with st.form(f"title-{run.run_id}", border=False):
            title = st.text_input(
                "Title",
                run.title or "",
                max_chars=TITLE_LENGTH,
                placeholder="such as: with the large detector",
            )
            is_named = st.form_submit_button("Save the title", icon=":material/edit:")
        if is_named:
            api.name_run(run.ep_id, run.run_id, title.strip())
            st.rerun()
        if st.button("Delete this run", icon=":material/delete:"):
            st.session_state[_key(run.ep_id)] = api.delete_run(run.ep_id, run.run_id)
            forget_choice(run.ep_id, run.run_id)
            st.rerun()
        st.caption("It goes to the trash; its files can be put back from there for a while.")


def show_deleted(api: Client, ep_id: str) -> None:
    """Says what was deleted last, and puts it back if that is wanted."""
    deleted: TrashEntry | None = st.session_state.get(_key(ep_id))
    if deleted is None:
        return
    name = plain(deleted.title or f"run {deleted.run_id}")
    st.info(f"Deleted: {name} ({size(deleted.frees_bytes)}).", icon=":material/delete:")
    if st.button("Put it back", icon=":material/undo:"):
        api.restore(deleted.trash_id)
        del st.session_state[_key(ep_id)]
        st.rerun()


def _key(ep_id: str) -> str:
    return f"deleted-run-{ep_id}"
