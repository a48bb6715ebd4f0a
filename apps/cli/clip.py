"""One clip of an episode's video in this process: copied where that is exact, else encoded."""

from __future__ import annotations

import os
from pathlib import Path

from apps.cli.making import Making, made_for, making
from apps.cli.observers import EventWriter
from apps.common.config import pipeline_config
from apps.common.contracts.events import ClipResult
from apps.common.contracts.media import ClipFile
from apps.common.contracts.rows import DetectionRow
from apps.common.errors import RunFailed, VideoReplaced, VideoUnreadable
from apps.common.files import TEMPORARY, claimed, storage_errors
from apps.common.layout import Layout
from apps.common.lifeline import Lifeline
from apps.common.open_result import result_rows
from apps.pipeline.decode.container import identified
from apps.pipeline.decode.media import media_facts
from apps.pipeline.render.encode import Encoding, EncodingFailed, Paint, encode
from apps.pipeline.render.preview import collect_tracks, painter
from apps.pipeline.render.remux import CannotCopy, remux
from apps.pipeline.render.sound import SoundPlan
from apps.pipeline.render.stretch import Stretch, stretch_of
from apps.pipeline.stop import StopFlag
from apps.results.clips import clip_result
from apps.results.export import readable
from apps.results.playability import PLAYED_SOUND, mime_of
from apps.runs.playable import Made, made_file, make_room, own_video, publish, state_of_video
from apps.runs.spec import CLIP_RUN, ClipSpec
from apps.runs.storage import check_space

_HINT = "Look at the video in a player; or take another part of it."


def make(lifeline: Lifeline) -> int:
    """Executes what the launcher's line says; returns the exit code."""
    spec = ClipSpec.model_validate_json(lifeline.line)

    def work(stop: StopFlag, view: EventWriter) -> None:
        view.clip(_Maker(spec, stop, view).run())

    return made_for(lifeline, CLIP_RUN, work, RunFailed("Making the clip failed.", hint=_HINT))


class _Maker:
    """Makes one clip, in this process.

    Args:
        spec: what to do.
        stop: asked after every picture.
        view: whom to tell.
    """

    def __init__(self, spec: ClipSpec, stop: StopFlag, view: EventWriter) -> None:
        self._spec = spec
        self._stop = stop
        self._view = view
        self._layout = Layout(Path(spec.data_root))
        self._config = pipeline_config().playable

    def run(self) -> ClipResult:
        """Makes the clip.

        Raises:
            ScreenalyticsError: it cannot be made, or was stopped; nothing is left then.
        """
        os.nice(self._spec.nice)
        folder = self._layout.playable(self._spec.ep_id)
        with storage_errors():
            folder.mkdir(parents=True, exist_ok=True)
            source = own_video(self._layout, self._spec.ep_id)
            self._refuse_another(source)
            done = self._done()
            if done is not None:  # by another program, since the request was looked at
                return clip_result(self._spec.ep_id, done, 0.0)
            make_room(folder.parent, 0, self._config.max_gb)
            check_space(folder, self._spec.min_free_mb)
            elapsed = self._make(source, folder)
            done = self._done()
        if done is None:
            raise RunFailed("The clip that was made is gone.", hint="Ask for it again.")
        return clip_result(self._spec.ep_id, done, elapsed)

    def _make(self, source: Path, folder: Path) -> float:
        """The seconds since this process began."""
        spec = self._spec
        temporary = folder / f".{spec.name}.{os.getpid()}{TEMPORARY}"
        try:
            with (
                claimed(temporary),
                making(
                    source,
                    spec.stream,
                    CLIP_RUN,
                    spec.max_cpu_percent,
                    self._stop,
                    self._view.progress,
                ) as made,
            ):
                stretch = stretch_of(made.video.index, spec.from_s, spec.to_s)
                made.expect(stretch.count)
                self._view.started(stretch.count)
                paint = self._paint(source, made.video.facts.frames)
                made.begin()
                ending = self._copied(made, stretch, temporary)
                kind = "proxy" if ending is None else "remuxed"
                if ending is None:
                    ending = "mp4"
                    self._encode(made, stretch, temporary, paint)
                self._stop.check()
                elapsed = made.end()
                self._refuse_another(source)
                note = ClipFile(
                    kind=kind,
                    file=f"{spec.name}.{ending}",
                    mime=mime_of(media_facts(temporary)),
                    from_s=round(stretch.start_s, 4),
                    to_s=round(stretch.end_s, 4),
                )
                publish(folder, spec.name, temporary, note, self._config.max_gb)
        finally:
            temporary.unlink(missing_ok=True)
        return elapsed

    def _copied(self, made: Making, stretch: Stretch, target: Path) -> str | None:
        """Copies the pictures; the file's ending, None where that is not exact."""
        ending = self._spec.copy_as
        if ending is None:
            return None
        sound = SoundPlan(PLAYED_SOUND[ending], stretch.start_s, stretch.end_s)
        try:
            remux(made.video, target, ending, sound, after_frame=made.after_frame, stretch=stretch)
        except CannotCopy:
            made.again()
            return None
        return ending

    def _encode(self, made: Making, stretch: Stretch, target: Path, paint: Paint | None) -> None:
        encoding = Encoding(
            self._config.clip_long_side,
            self._config.clip_crf,
            key_frame_s=self._config.key_frame_s,
            sound=SoundPlan(PLAYED_SOUND["mp4"], stretch.start_s, stretch.end_s),
            paint=paint,
            deinterlace=self._spec.deinterlace,
        )
        try:
            encode(
                made.video,
                target,
                encoding,
                cpu_threads=self._spec.cpu_threads,
                after_frame=made.after_frame,
                stretch=stretch,
                passing=made.between,
            )
        except EncodingFailed:
            raise VideoUnreadable("This part cannot be encoded.", hint=_HINT) from None
        if made.frames == 0:
            raise VideoUnreadable("Not one picture of this part can be decoded.", hint=_HINT)

    def _paint(self, source: Path, frames: int) -> Paint | None:
        """Draws the boxes of the run, where those are wanted.

        Raises:
            VideoReplaced: the run has read another video.
        """
        spec = self._spec
        if spec.boxes_of is None:
            return None
        ran = spec.video_file
        if ran is not None and ran.fingerprint != identified(source).fingerprint:
            raise VideoReplaced(
                "The run has read another video than the one that is there now.",
                hint="Run the episode again, or take the clip without boxes.",
            )
        path = self._layout.run(spec.ep_id, spec.boxes_of).detections
        return painter(
            collect_tracks(readable(result_rows(self._layout, path, DetectionRow), frames))
        )

    def _refuse_another(self, source: Path) -> None:
        """Refuses a video that is not the one that was looked at.

        Raises:
            VideoReplaced: it was replaced meanwhile.
        """
        if state_of_video(source) != self._spec.state:
            raise VideoReplaced(
                "The episode's video was replaced while its clip was being made.",
                hint="Ask for it again.",
            )

    def _done(self) -> Made | None:
        return made_file(self._layout, self._spec.ep_id, self._spec.name, ClipFile)
