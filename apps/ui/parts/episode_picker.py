"""Choosing an episode: the same on every page, kept in the address."""

from __future__ import annotations

import streamlit as st

from apps.common.contracts.manifest import VideoFacts
from apps.common.schemas import EpisodeDetail
from apps.ui.client import Client
from apps.ui.files import thumbnail_url
from apps.ui.formatting import duration, plain, size
from apps.ui.numbers import counted, significant
from apps.ui.parts.upload import choose_uploaded


def pick_episode(client: Client, *, locked: bool = False) -> str | None:
    """The chosen episode's name; None, with what to do, where there is none."""
    choose_uploaded()
    names = [item.ep_id for item in client.episodes().items]
    if not names:
        st.info(
            "**No episodes yet.** Upload one below, or run `make demo` for a demo episode.",
            icon=":material/video_library:",
        )
        return None
    return st.selectbox(
        "Episode",
        names,
        key="episode",
        bind="query-params",
        disabled=locked,
        help="Type to search.",
    )


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
