"""One file that browsers play, made in this process of an episode's video."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from apps.cli.making import Making, made_for, making
from apps.cli.observers import EventWriter
from apps.common.config import PlayableConfig, pipeline_config
from apps.common.contracts.events import PlayableResult
from apps.common.contracts.media import MadeFile, PlayablePlan
from apps.common.errors import RunFailed, StorageFailed, VideoReplaced, VideoUnreadable
from apps.common.files import TEMPORARY, claimed, storage_errors
from apps.common.layout import Layout
from apps.common.lifeline import Lifeline
from apps.pipeline.decode.media import media_facts
from apps.pipeline.render.encode import Encoding, EncodingFailed, encode
from apps.pipeline.render.remux import CannotCopy, remux
from apps.pipeline.render.sound import SoundPlan
from apps.pipeline.stop import StopFlag
from apps.results.playability import PLAYED_SOUND, as_proxy, mime_of
from apps.runs.playable import (
    Made,
    made_file,
    make_room,
    making_playable,
    own_video,
    publish,
    state_of_video,
)
from apps.runs.spec import PLAYABLE_RUN, PlayableSpec
from apps.runs.storage import check_space

_LOOK_EVERY = 250  # pictures between two looks at the size of what is being made
_HINT = "Look at the video in a player; or convert it to MP4 (H.264 and AAC)."
_NOT_COPIED = "Its streams cannot be put into another container as they are."


def make(lifeline: Lifeline) -> int:
    """Executes what the launcher's line says; returns the exit code."""
    spec = PlayableSpec.model_validate_json(lifeline.line)
    failed = RunFailed("Making the file to play failed.", hint=_HINT)

    def work(stop: StopFlag, view: EventWriter) -> None:
        view.playable(_Maker(spec, stop, view).run())

    return made_for(lifeline, PLAYABLE_RUN, work, failed)


class _Maker:
    """Makes one file, in this process.

    Args:
        spec: what to do.
        stop: asked after every picture.
        view: whom to tell.
    """

    def __init__(self, spec: PlayableSpec, stop: StopFlag, view: EventWriter) -> None:
        self._spec = spec
        self._stop = stop
        self._view = view
        self._layout = Layout(Path(spec.data_root))
        self._config: PlayableConfig = pipeline_config().playable

    def run(self) -> PlayableResult:
        """Makes the file.

        Raises:
            ScreenalyticsError: it cannot be made, or was stopped; nothing is left then.
        """
        os.nice(self._spec.nice)
        with making_playable(self._layout, self._spec.ep_id) as folder, storage_errors():
            source = own_video(self._layout, self._spec.ep_id)
            self._refuse_another(source)
            done = self._done()
            if done is not None:  # by another program, since the request was looked at
                return self._result(done, 0.0)
            copies = self._spec.plan.kind == "remuxed"
            needed = source.stat().st_size if copies else 0
            make_room(folder.parent, needed, self._config.max_gb)
            check_space(folder, self._spec.min_free_mb + needed / 1e6)
            elapsed = self._make(source, folder)
            done = self._done()
        if done is None:
            raise RunFailed("The file that was made is gone.", hint="Ask for it again.")
        return self._result(done, elapsed)

    def _make(self, source: Path, folder: Path) -> float:
        """The seconds since this process began."""
        spec, plan = self._spec, self._spec.plan
        temporary = folder / f".{spec.state}.{os.getpid()}{TEMPORARY}"
        try:
            with (
                claimed(temporary),
                making(
                    source,
                    None,
                    PLAYABLE_RUN,
                    spec.max_cpu_percent,
                    self._stop,
                    self._view.progress,
                ) as made,
            ):
                self._view.started(made.video.facts.frames)
                made.begin()
                plan = self._write(made, plan, temporary)
                self._stop.check()
                elapsed = made.end()
                self._refuse_another(source)
                note = MadeFile(
                    kind=plan.kind,
                    file=f"{spec.state}.{plan.ending}",
                    mime=mime_of(media_facts(temporary)),
                    why=plan.why,
                )
                publish(folder, spec.state, temporary, note, self._config.max_gb)
        finally:
            temporary.unlink(missing_ok=True)
        return elapsed

    def _write(self, made: Making, plan: PlayablePlan, target: Path) -> PlayablePlan:
        """Writes the file; the plan by which that was done."""
        after_frame = partial(self._after_frame, made, target)
        if plan.kind == "remuxed":
            sound = SoundPlan(PLAYED_SOUND[plan.ending])
            try:
                remux(made.video, target, plan.ending, sound, after_frame=after_frame)
            except CannotCopy:
                made.again()
                plan = as_proxy(plan, _NOT_COPIED)
            else:
                return plan
        encoding = Encoding(
            self._config.long_side,
            self._config.crf,
            key_frame_s=self._config.key_frame_s,
            sound=SoundPlan(PLAYED_SOUND[plan.ending]),
            deinterlace=plan.deinterlace,
        )
        threads = self._spec.cpu_threads
        try:
            encode(made.video, target, encoding, cpu_threads=threads, after_frame=after_frame)
        except EncodingFailed:
            raise VideoUnreadable(
                "This video cannot be encoded for browsers.", hint=_HINT
            ) from None
        return plan

    def _after_frame(self, made: Making, target: Path, _: int = 0) -> None:
        made.after_frame()
        bound = self._config.max_gb * 1e9
        if made.frames % _LOOK_EVERY == 0 and target.stat().st_size > bound:
            raise StorageFailed(
                f"The file to play became larger than all may be together "
                f"({self._config.max_gb:g} GB).",
                hint="Raise playable.max_gb in pipeline.toml, or convert the video to MP4.",
            )

    def _refuse_another(self, source: Path) -> None:
        """Refuses a video that is not the one that was looked at.

        Raises:
            VideoReplaced: it was replaced meanwhile.
        """
        if state_of_video(source) != self._spec.state:
            raise VideoReplaced(
                "The episode's video was replaced while its file to play was being made.",
                hint="Ask for it again.",
            )

    def _done(self) -> Made | None:
        return made_file(self._layout, self._spec.ep_id, self._spec.state)

    def _result(self, made: Made, elapsed: float) -> PlayableResult:
        return PlayableResult(
            ep_id=self._spec.ep_id,
            kind=made.note.kind,
            path="playable/file",
            mime=made.note.mime,
            size_bytes=made.size_bytes,
            elapsed_seconds=round(elapsed, 3),
        )
