"""Choosing an episode: the same on every page, kept in the address."""

from __future__ import annotations

import streamlit as st

from apps.common.contracts.manifest import VideoFacts
from apps.common.schemas import EpisodeDetail
from apps.ui.client import Client
from apps.ui.files import thumbnail_url
from apps.ui.formatting import duration, plain, size
from apps.ui.numbers import counted, significant
from apps.ui.parts.address import asked, shortened, show_address
from apps.ui.parts.upload import choose_uploaded

_KEY, _MISSING = "episode", "missing-episode"


def pick_episode(client: Client, *, locked: bool = False) -> str | None:
    """The chosen episode's name; None, with what to do, where there is none.

    One that is chosen is to be told to `show_address`, by the view, with its run.
    """
    choose_uploaded()
    names = [item.ep_id for item in client.episodes().items]
    if not names:
        st.info(
            "**No episodes yet.** Upload one below, or run `make demo` for a demo episode.",
            icon=":material/video_library:",
        )
        return None
    missing = _find_asked(names)
    ep_id = st.selectbox(
        "Episode",
        names,
        index=0 if missing is None else None,
        key=_KEY,
        persist_state="session",
        placeholder="Choose an episode",
        disabled=locked,
        help="Type to search.",
    )
    if ep_id is not None:
        st.session_state.pop(_MISSING, None)
        return str(ep_id)
    st.warning(
        f"**There is no episode “{plain(shortened(missing or ''))}”.** Choose one that is there.",
        icon=":material/link_off:",
    )
    show_address(None)
    return None


def _find_asked(names: list[str]) -> str | None:
    """Chooses what the address asks for, else what was chosen, else the first.

    Returns:
        What was asked for and is not there; nothing is chosen then, until the reader does.
    """
    chosen: str | None = st.session_state.get(_KEY)
    wanted = asked().take_episode() or chosen
    if wanted is None and _MISSING not in st.session_state:
        wanted = names[0]
    if wanted is None:
        return str(st.session_state[_MISSING])
    is_there = wanted in names
    if is_there:
        # Also where it is chosen already: on another view the box would begin with the first one.
        st.session_state[_KEY] = wanted
    elif chosen is not None:
        st.session_state[_KEY] = None
    if is_there:
        return None
    st.session_state[_MISSING] = wanted
    return wanted


def show_episode(client: Client, ep_id: str) -> EpisodeDetail:
    """A card: what the video looks like and what the decoder found."""
    detail = client.episode(ep_id)
    with st.container(border=True, key="episode-card"):
        picture, facts = st.columns([1, 2], vertical_alignment="center")
        if detail.facts is not None:
            picture.image(thumbnail_url(ep_id), alt=f"A frame of {ep_id}", width="stretch")
            facts.markdown(_facts(detail.facts))
        if detail.problem is not None:
            facts.error(plain(detail.problem), icon=":material/broken_image:")
        if detail.video is None:
            facts.warning("This episode has no video.", icon=":material/videocam_off:")
        if detail.other_videos:
            others = ", ".join(detail.other_videos)
            facts.warning(
                plain(f"{detail.video} is taken; beside it lies {others}."),
                icon=":material/video_file:",
            )
        facts.caption(f"{plain(detail.video or '')} · {size(detail.size_bytes)}")
    return detail


def _facts(video: VideoFacts) -> str:
    rate = f"{significant(video.fps)} frames/s" + (", varying" if video.variable_frame_rate else "")
    parts = [counted(video.frames, "frame"), plain(video.codec)]
    if video.transfer != "sdr":
        parts.append(f"HDR ({video.transfer.upper()})")
    if len(video.streams) > 1:
        parts.append(f"video stream {video.stream} of {plain(', '.join(video.streams))}")
    return (
        f"**{duration(video.duration_s)}** · **{video.width} × {video.height}** · {rate}  \n"
        + " · ".join(parts)
    )
