"""Parts of an episode's video as files: which part is meant, and what there is of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from apps.common.config import pipeline_config
from apps.common.contracts.events import ClipResult
from apps.common.contracts.manifest import RunManifest
from apps.common.contracts.media import ClipFile, MediaFacts
from apps.common.contracts.rows import TrackRow, read_rows
from apps.common.errors import InvalidInput, RunNotFound
from apps.common.layout import Layout
from apps.common.options import Options
from apps.common.schemas import ClipQuery
from apps.common.settings import Settings
from apps.results.figures import RUN_AGAIN
from apps.results.files import result_file
from apps.results.playability import plan_for
from apps.runs.playable import Made, made_file, note_use, own_video, part_of, state_of_video
from apps.runs.probe import VideoProbe
from apps.runs.spec import ClipSpec
from apps.runs.store import read_completed


@dataclass(frozen=True)
class Part:
    """A part of an episode's video that is asked for.

    Args:
        state: tells the video from another in its place.
        name: of its file in the cache, without the ending.
        from_s, to_s: seconds on the player's clock.
        title: for the file that people save; it needs no quoting.
        run: whose boxes are drawn; None for none.
        stream: of the video in its file; None for the likeliest one.
        made: what there is; None where nothing was made.
    """

    ep_id: str
    state: str
    name: str
    from_s: float
    to_s: float
    title: str
    run: RunManifest | None
    stream: int | None
    made: Made | None


def find_part(layout: Layout, ep_id: str, query: ClipQuery) -> Part:
    """Which part is meant; it is remembered as used where there is a file of it.

    Raises:
        InvalidInput: it is no part, or too long.
        EpisodeNotFound: there is no such episode, or no video in the data root.
        RunNotFound: there is no such completed run, or no such track.
        VideoUnreadable: the video is gone.
    """
    state = state_of_video(own_video(layout, ep_id))
    manifest = None if query.run is None else read_completed(layout, ep_id, query.run)
    from_s, to_s, what = _bounds(layout, manifest, query)
    longest = pipeline_config().playable.clip_max_s
    if not 0 <= to_s - from_s <= longest:
        raise InvalidInput(
            f"to_s must be from_s or up to {longest:g} s more.",
            hint=f"Take a part of at most {longest:g} s.",
        )
    name = f"{round(1000 * from_s)}-{round(1000 * to_s)}"
    stream = None
    if manifest is not None:
        stream = None if manifest.video is None else manifest.video.stream
        name += "" if stream is None else f"-s{stream}"
        name += f"-{manifest.run_id}" if query.boxes else ""
    name = part_of(state, name)
    made = made_file(layout, ep_id, name, ClipFile)
    if made is not None:
        note_use(layout, ep_id, name)
    return Part(
        ep_id=ep_id,
        state=state,
        name=name,
        from_s=from_s,
        to_s=to_s,
        title=f"{ep_id}_{what}" + ("_boxes" if query.boxes else ""),
        run=manifest if query.boxes else None,
        stream=stream,
        made=made,
    )


def _bounds(
    layout: Layout, manifest: RunManifest | None, query: ClipQuery
) -> tuple[float, float, str]:
    """Start, end, and a name for people."""
    if query.from_s is not None and query.to_s is not None:
        return query.from_s, query.to_s, f"{query.from_s:.2f}-{query.to_s:.2f}s"
    if manifest is None or query.track is None:
        raise InvalidInput(
            "Which part is meant is not said.", hint="Give from_s and to_s, or run and track."
        )
    path = result_file(layout, layout.run(manifest.ep_id, manifest.run_id).tracks, hint=RUN_AGAIN)
    margin = pipeline_config().playable.clip_margin_s
    for row in read_rows(path, TrackRow):
        if row is None or row.track_id != query.track:
            continue
        if row.start_s is not None and row.end_s is not None:
            start_s = max(0.0, row.start_s - margin)
            return start_s, row.end_s + margin, f"{manifest.run_id}_{query.track}"
    raise RunNotFound(
        f"Run {manifest.run_id!r} has no track {query.track!r}.",
        hint="See GET …/tracks for those that it has.",
    )


async def clip_spec(
    part: Part, layout: Layout, videos: VideoProbe, options: Options, settings: Settings
) -> ClipSpec:
    """What the process that makes the clip needs to know.

    Args:
        videos: is asked what the video holds.
        options: of a run that nobody asked for: its threads and its budget hold here too.

    Raises:
        EpisodeNotFound, VideoUnreadable: the video is gone, or is none.
    """
    facts = await videos.media(await asyncio.to_thread(own_video, layout, part.ep_id))
    return ClipSpec(
        ep_id=part.ep_id,
        data_root=str(layout.root),
        state=part.state,
        name=part.name,
        stream=part.stream,
        from_s=part.from_s,
        to_s=part.to_s,
        copy_as=None if part.run is not None else _copied_as(facts),
        deinterlace=facts.interlaced,
        boxes_of=None if part.run is None else part.run.run_id,
        video_file=None if part.run is None else part.run.video_file,
        cpu_threads=options.cpu_threads,
        max_cpu_percent=options.max_cpu_percent,
        nice=settings.local_nice,
        min_free_mb=settings.min_free_mb,
    )


def _copied_as(facts: MediaFacts) -> Literal["mp4", "webm"] | None:
    """The kind of file that holds its pictures as they are; None where browsers do not play them.

    Pictures that are to be turned are encoded upright: not every program heeds the file's word.
    """
    plan = plan_for(facts)
    if plan.kind == "proxy" or facts.rotation:
        return None
    if plan.kind == "source":
        return "webm" if facts.media_type == "video/webm" else "mp4"
    return plan.ending


def clip_result(ep_id: str, made: Made, elapsed: float) -> ClipResult:
    """The answer for a clip that is there.

    Args:
        made: with the note of a clip.
    """
    note = ClipFile.model_validate(made.note.model_dump())
    return ClipResult(
        ep_id=ep_id,
        kind="copied" if note.kind == "remuxed" else "encoded",
        from_s=note.from_s,
        to_s=note.to_s,
        mime=note.mime,
        size_bytes=made.size_bytes,
        elapsed_seconds=round(elapsed, 3),
    )
