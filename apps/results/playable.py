"""What a browser is to play of an episode: the video itself, or what is made of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from apps.common.contracts.media import MediaFacts, PlayablePlan
from apps.common.errors import EpisodeNotFound
from apps.common.layout import Layout
from apps.common.options import Options
from apps.common.schemas import Playable
from apps.common.settings import Settings
from apps.results.playability import mime_of, mime_to_be, plan_for
from apps.runs.playable import Made, made_file, note_use, own_video, state_of_video
from apps.runs.probe import VideoProbe
from apps.runs.spec import PlayableSpec


@dataclass(frozen=True)
class Found:
    """An episode's video, and what there is to play of it.

    Args:
        state: tells the video from another in its place.
        made: what was made of it; None where nothing was.
    """

    ep_id: str
    video: Path
    state: str
    facts: MediaFacts
    plan: PlayablePlan
    made: Made | None

    def answer(self) -> Playable:
        """For the client."""
        if self.plan.kind == "source":
            return Playable(
                kind="source",
                ready=True,
                path="video",
                mime=mime_of(self.facts),
                why=None,
                size_bytes=int(self.state.partition("-")[0]),
            )
        if self.made is None:
            return Playable(
                kind=self.plan.kind,
                ready=False,
                path="playable/file",
                mime=mime_to_be(self.facts, self.plan),
                why=self.plan.why,
                size_bytes=None,
            )
        return Playable(
            kind=self.made.note.kind,
            ready=True,
            path="playable/file",
            mime=self.made.note.mime,
            why=self.made.note.why,
            size_bytes=self.made.size_bytes,
        )


async def find_playable(layout: Layout, videos: VideoProbe, ep_id: str) -> Found:
    """What there is to play of an episode, and what would have to be made.

    Args:
        layout: paths under the data root.
        videos: is asked what the video holds.
        ep_id: the episode.

    Raises:
        InvalidInput, EpisodeNotFound: there is no such episode, or no video in the data root.
        VideoUnreadable: it is not a video.
    """
    video = await asyncio.to_thread(own_video, layout, ep_id)
    state = await asyncio.to_thread(state_of_video, video)
    facts = await videos.media(video)
    made = await asyncio.to_thread(made_file, layout, ep_id, state)
    return Found(ep_id, video, state, facts, plan_for(facts), made)


def spec_of(found: Found, layout: Layout, options: Options, settings: Settings) -> PlayableSpec:
    """What the process that makes the file needs to know.

    Args:
        options: of a run that nobody asked for: its threads and its budget hold here too.
    """
    return PlayableSpec(
        ep_id=found.ep_id,
        data_root=str(layout.root),
        state=found.state,
        plan=found.plan,
        cpu_threads=options.cpu_threads,
        max_cpu_percent=options.max_cpu_percent,
        nice=settings.local_nice,
        min_free_mb=settings.min_free_mb,
    )


def playable_file(layout: Layout, ep_id: str) -> Made:
    """The file that was made of an episode's video as it is now; it is remembered as played.

    Raises:
        InvalidInput, EpisodeNotFound: there is no such episode, or no such file.
        VideoUnreadable: the video is gone.
    """
    state = state_of_video(own_video(layout, ep_id))
    made = made_file(layout, ep_id, state)
    if made is None:
        raise EpisodeNotFound(
            f"Nothing was made of the video of episode {ep_id!r} for browsers.",
            hint="See GET …/playable: it is the video itself, or is made with POST there.",
        )
    note_use(layout, ep_id, state)
    return made
