"""One part of a job's run, in the process that a worker has started for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from apps.cli.making import made_for
from apps.cli.observers import EventWriter
from apps.cli.part import made_part, own_video
from apps.common.config import pipeline_config
from apps.common.contracts.parts import PartPlan, PartResult
from apps.common.errors import RunFailed, StorageUnavailable
from apps.common.files import storage_errors
from apps.common.lifeline import Lifeline
from apps.common.options import effective_stride
from apps.objects.job_parts import JobParts
from apps.objects.mirror import Mirror
from apps.objects.open import open_mirror
from apps.pipeline.decode.container import identified
from apps.pipeline.decode.decoder import PacketAbsent
from apps.pipeline.decode.video import KnownVideo
from apps.pipeline.parts.extract import extract_of
from apps.pipeline.parts.known_video import VideoNote, read_known
from apps.pipeline.parts.plan import spans_at
from apps.pipeline.stop import StopFlag
from apps.runs.episodes import video_files
from apps.runs.spec import PartSpec

_NEEDED_SECONDS = 60.0  # for the storage to come back: longer than to make most parts anew
_WISHED_SECONDS = 5.0
_HINT = "The worker's log has the details; please report them."


def make(lifeline: Lifeline) -> int:
    """Executes what the launcher's line says; returns the exit code."""
    spec = PartSpec.model_validate_json(lifeline.line)

    def work(stop: StopFlag, view: EventWriter) -> None:
        os.nice(spec.nice)
        view.part(_QueuedPart(spec, stop, view).made())

    return made_for(lifeline, spec.run_id, work, RunFailed("Making the part failed.", hint=_HINT))


class _QueuedPart:
    """What its order says, with the storage that hosts share where there is one."""

    def __init__(self, spec: PartSpec, stop: StopFlag, view: EventWriter) -> None:
        self._spec = spec
        self._order = spec.order
        self._stop = stop
        self._view = view

    def made(self) -> PartResult:
        """The part's file is where it is read."""
        path = Path(self._order.path)
        if self._order.is_for_another:
            with storage_errors():
                path.parent.mkdir(parents=True, exist_ok=True)
        note = self._note()
        result = None if note is None else self._of_extract(note)
        if result is None:
            video = own_video(self._spec, self._stop)
            known = note.known if note is not None and note.file == identified(video) else None
            result = self._made(video, known)
        self._store(path)
        if self._order.is_for_another:
            path.unlink(missing_ok=True)
        return result

    def _made(self, video: Path, known: KnownVideo | None) -> PartResult:
        return made_part(
            self._spec,
            self._order,
            video,
            self._stop,
            self._view,
            self._view.progress,
            self._planned,
            known,
        )

    def _planned(self, plan: PartPlan) -> None:
        """What was found out of the video goes to others, before they hear of the plan."""
        if self._order.number == 1 and self._order.known is not None:
            self._store(Path(self._order.known))
        self._view.plan(plan)

    def _note(self) -> VideoNote | None:
        """What the first part has found out of the video; None where that is not to be had."""
        if self._order.known is None:
            return None
        path = Path(self._order.known)
        if not path.exists() and self._stored is not None and self._order.number > 1:
            try:
                self._stored.bring(path)
            except StorageUnavailable:
                return None
        return read_known(path)

    def _of_extract(self, note: VideoNote) -> PartResult | None:
        """The part, made of those bytes of the video that it needs; None where it takes all."""
        with self._extract(note) as extract:
            if extract is None:
                return None
            try:
                return self._made(*extract)
            except PacketAbsent:
                self._view.log("info", "The part needs more of the video: all of it is had.")
                return None

    @contextmanager
    def _extract(self, note: VideoNote) -> Iterator[tuple[Path, KnownVideo] | None]:
        spec, order, mirror = self._spec, self._order, self._mirror
        options = spec.resolution.options
        is_here = bool(video_files(spec.layout.episode(spec.ep_id)))
        if mirror is None or is_here or not order.is_for_another:
            yield None
            return
        parts = spans_at(note.known.index, order.starts or [])
        if parts is None:
            yield None
            return
        stride = effective_stride(options.stride, options.fps, note.known.facts.fps)
        is_exact = (options.precision, options.device) == ("float32", "cpu")
        found = extract_of(
            note,
            parts[order.number - 1],
            stride,
            checked_s=0.0 if is_exact else pipeline_config().detector_check.video_seconds,
        )
        if found is None:
            yield None
            return
        ranges, known = found
        folder = Path(order.path).with_suffix(".video")
        try:
            with storage_errors():
                folder.mkdir(parents=True, exist_ok=True)
            path = folder / note.file.name
            came = mirror.videos.bring_extract(
                spec.ep_id, path, note.file.size_bytes, ranges, self._stop.check
            )
            if came is None or identified(path) != note.file:
                yield None  # it was replaced: the parts will not fit, and that is told there
                return
            share = 100 * came / note.file.size_bytes
            self._view.log("info", f"Of the video {share:.0f} % came from the storage.")
            yield path, known
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _store(self, path: Path) -> None:
        """Has a file in the storage, where hosts share one.

        Raises:
            StorageUnavailable: it is not there, and another host needs it.
        """
        if self._stored is None:
            return
        is_needed = self._order.is_for_another
        try:
            patience_s = _NEEDED_SECONDS if is_needed else _WISHED_SECONDS
            self._stored.put(path, self._stop.check, patience_s)
        except StorageUnavailable as error:
            if is_needed:
                raise
            self._view.log("warning", f"This host alone has {path.name}. {error.detail}")

    @cached_property
    def _mirror(self) -> Mirror | None:
        spec = self._spec
        if spec.storage is None:
            return None
        return open_mirror(spec.storage, spec.layout.root, spec.min_free_mb)

    @cached_property
    def _stored(self) -> JobParts | None:
        place = self._order.place
        if self._mirror is None or place is None:
            return None
        return JobParts(self._mirror.store, place.job_id, place.token)
