"""What lasts longer than one run of the script: the client, and what this session has started."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import tzinfo
from typing import cast
from zoneinfo import ZoneInfo

import streamlit as st

from apps.common.contracts.events import ErrorEvent, ResultEvent
from apps.common.schemas import DetectTrackRequest, RunOptionsOffer
from apps.common.version import source_fingerprint
from apps.ui.client import Bounds, Client
from apps.ui.settings import PageSettings


@st.cache_resource(show_spinner=False, on_release=Client.close)
def client() -> Client:
    return Client(PageSettings())


@st.cache_resource(show_spinner=False)
def page_fingerprint() -> str:
    """Of the source that this page's server loaded: asked first when it starts."""
    return source_fingerprint()


@st.cache_data(ttl=60, show_spinner=False)
def bounds() -> dict[str, Bounds]:
    return client().bounds()


@st.cache_data(ttl=10, show_spinner=False)
def offer() -> RunOptionsOffer:
    return client().offer()


def reader_zone() -> tzinfo | None:
    """Time zone of the browser; None, the server's own, where it does not tell."""
    try:
        return ZoneInfo(st.context.timezone or "")
    except (ValueError, KeyError, OSError):  # none, or none that this machine knows
        return None


@dataclass(frozen=True)
class PendingRun:
    """A local run that was asked for.

    Args:
        cap: its CPU budget in percent, None where it has none.
    """

    request: DetectTrackRequest
    cap: float | None


@dataclass
class LocalOutcome:
    """How the session's last local run of an episode ended."""

    event: ResultEvent | ErrorEvent | None
    stopped: bool = False


@dataclass
class Session:
    """State of one browser tab.

    Args:
        asked: episode for which a run was asked with a click, until the script gets to it.
        pending: a local run that the next run of the script starts. It is taken out before the run
            begins, so that no rerun begins it again.
        outcomes: by episode.
        refusals: by the name of a run that was on: how one ended that was wanted beside it; None
            where it was not even begun. Kept, since the page is drawn again meanwhile.
        jobs: the newest queued job that this tab knows, by episode.
        turn: counts the runs of the script.
        form_turn: in which of them the form of options was drawn last.
    """

    asked: str | None = None
    pending: PendingRun | None = None
    outcomes: dict[str, LocalOutcome] = field(default_factory=dict)
    refusals: dict[str, LocalOutcome | None] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    turn: int = 0
    form_turn: int = 0

    def form_returns(self) -> bool:
        """Whether the form, which is drawn now, was not there in the run of the script before."""
        returns = self.form_turn != self.turn - 1
        self.form_turn = self.turn
        return returns

    def ask(self, ep_id: str) -> None:
        self.asked = ep_id

    def take_asked(self) -> str | None:
        taken, self.asked = self.asked, None
        return taken

    def take_pending(self) -> PendingRun | None:
        taken, self.pending = self.pending, None
        return taken


def session() -> Session:
    if "screenalytics" not in st.session_state:
        st.session_state["screenalytics"] = Session()
    return cast("Session", st.session_state["screenalytics"])
