"""A local run: one streamed request, held for as long as this script run lives.

Streamlit stops a script at its next `st` call when the page is reloaded, left or clicked. Then the
`with` below closes the request, and the server kills the run. So every line, and every half second
without one, is answered by an `st` call; and nothing here may catch BaseException.
"""

from __future__ import annotations

import time
from contextlib import closing

import streamlit as st

from apps.common.contracts.events import ErrorEvent, LogEvent, ProgressEvent, ResultEvent
from apps.common.schemas import DetectTrackRequest
from apps.ui.client import ApiProblem, Client
from apps.ui.parts.live import offer_to_tell
from apps.ui.parts.progress_board import History, ProgressBoard
from apps.ui.session import LocalOutcome, PendingRun, Session

RUNNING = "⏳ Running detect_track synchronously..."


def run_locally(client: Client, run: PendingRun, mine: Session) -> None:
    """Runs, shows how far it is, notes how it ended, and draws the page again."""
    ep_id = run.request.ep_id
    with st.container(border=True):
        st.markdown(f"**{RUNNING}**")
        st.caption("Reloading, closing or leaving this page stops the run.")
        st.button("Stop", key="stop_local", icon=":material/stop:", type="primary")
        offer_to_tell(ep_id)
        board = ProgressBoard(History(), run.cap)
        # What it is when this script is stopped on the way:
        mine.outcomes[ep_id] = LocalOutcome(None, stopped=True)
        mine.outcomes[ep_id] = _follow(client, run.request, board)
    st.rerun()


def _follow(client: Client, request: DetectTrackRequest, board: ProgressBoard) -> LocalOutcome:
    started, heard = time.monotonic(), False
    try:
        with closing(client.run_local(request)) as events:
            for event in events:
                if isinstance(event, ResultEvent | ErrorEvent):
                    return LocalOutcome(event)
                if isinstance(event, ProgressEvent):
                    heard = True
                    board.show(event)
                elif isinstance(event, LogEvent):
                    board.log(event.message)
                elif not heard:
                    board.wait(time.monotonic() - started)
                else:
                    board.pulse()
    except ApiProblem as problem:
        return LocalOutcome(
            ErrorEvent(
                problem={},
                title="",
                status=problem.status,
                detail=problem.detail,
                hint=problem.hint,
            )
        )
    return LocalOutcome(None)
