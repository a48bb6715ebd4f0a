"""A completed run's figures to draw, and its detections as files of other programs."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from apps.common.contracts.manifest import RunManifest, VideoFacts
from apps.common.contracts.rows import DetectionRow, TrackRow, read_rows
from apps.common.errors import RunNotFound
from apps.common.layout import Layout
from apps.common.names import ExportFormat
from apps.common.open_result import result_cuts
from apps.common.schemas import RunCharts
from apps.people.corrected import corrected_people
from apps.people.known import Known
from apps.results.charts import chart_run
from apps.results.cvat import cvat
from apps.results.export import ExportedRun, chunks, coco, csv, mot, readable
from apps.results.files import result_file
from apps.results.people_export.formats import PeopleChoice, exported_people, labels_by_person
from apps.runs.store import read_completed

_LARGEST = 10**9  # frames and pixels; a manifest that says more is damaged
RUN_AGAIN = "Run the episode again."
_KINDS: dict[ExportFormat, tuple[str, str]] = {
    "mot": (".mot.txt", "text/plain; charset=utf-8"),
    "coco": (".coco.json", "application/json"),
    "csv": (".csv", "text/csv; charset=utf-8"),
    "cvat": (".cvat.xml", "application/xml"),
    "cvat-people": (".people.cvat.xml", "application/xml"),
    "people-csv": (".people.csv", "text/csv; charset=utf-8"),
    "people-json": (".people.json", "application/json"),
    "together-csv": (".together.csv", "text/csv; charset=utf-8"),
    "together-json": (".together.json", "application/json"),
    "otio": (".otio", "application/vnd.pixar.opentimelineio+json"),
    "edl": (".edl", "text/plain; charset=utf-8"),
    "webvtt": (".vtt", "text/vtt; charset=utf-8"),
}


@dataclass(frozen=True)
class Export:
    """A file that is made while it is read.

    Args:
        name: for the file; it needs no quoting.
        pieces: its content; to be closed where it is not read to its end.
    """

    name: str
    media_type: str
    pieces: Generator[bytes]


def charts_of(layout: Layout, ep_id: str, run_id: str, bins: int) -> RunCharts:
    """Faces over time, confidences, face sizes and cuts of a run.

    Args:
        layout: paths under the data root.
        ep_id: the episode.
        run_id: the run, or `latest`.
        bins: most stretches of time, >= 1.

    Raises:
        InvalidInput: a name is not legal.
        RunNotFound: there is no such completed run, or it lacks what is counted.
    """
    manifest = read_completed(layout, ep_id, run_id)
    video, stride = grid_of(manifest)
    files = layout.run(ep_id, manifest.run_id)
    return chart_run(
        video,
        stride,
        (cut.frame for cut in result_cuts(layout, files.metrics)),
        read_rows(result_file(layout, files.detections, hint=RUN_AGAIN), DetectionRow),
        read_rows(result_file(layout, files.tracks, hint=RUN_AGAIN), TrackRow),
        bins,
    )


def export_of(
    layout: Layout,
    ep_id: str,
    run_id: str,
    kind: ExportFormat,
    *,
    untracked: bool = False,
    choice: PeopleChoice | None = None,
    known: Known | None = None,
) -> Export:
    """The detections of a run, places in pixels, or its people, as a file of another program.

    Args:
        layout: paths under the data root.
        ep_id: the episode.
        run_id: the run, or `latest`.
        kind: the file's format.
        untracked: MOT: with the faces of no track too.
        choice: what is asked of formats of people.
        known: what was read of people before.

    Raises:
        InvalidInput: a name is not legal, or a timecode is none.
        RunNotFound: there is no such completed run, or it lacks what is exported.
        PackageMissing: what writes the format is not installed.
        CorrectionsUnreadable: people, and a later version has written the log of corrections.
    """
    manifest = read_completed(layout, ep_id, run_id)
    video, stride = grid_of(manifest)
    path = result_file(layout, layout.run(ep_id, manifest.run_id).detections, hint=RUN_AGAIN)

    def rows() -> Iterator[DetectionRow]:
        return readable(read_rows(path, DetectionRow), video.frames)

    run = ExportedRun(ep_id, manifest.run_id, video.width, video.height, video.frames, stride)
    choice = PeopleChoice() if choice is None else choice
    text: Iterable[str]
    if kind == "mot":
        text = mot(rows(), run, untracked=untracked)
    elif kind == "coco":
        text = coco(rows, run)
    elif kind == "cvat":
        text = cvat(rows(), run)
    elif kind == "csv":
        text = csv(rows(), run)
    else:
        people = corrected_people(layout, ep_id, run.run_id, known).rows
        if kind == "cvat-people":
            text = cvat(rows(), run, labels_by_person(people, hidden=choice.hidden))
        else:
            text = exported_people(kind, people, manifest, video, rows(), choice)
    ending, media_type = _KINDS[kind]
    return Export(f"{run.ep_id}_{run.run_id}{ending}", media_type, chunks(text))


def grid_of(manifest: RunManifest) -> tuple[VideoFacts, int]:
    """The video's facts and the stride of its processed frames.

    Raises:
        RunNotFound: the manifest does not have them, or they make no sense.
    """
    video, stride = manifest.video, manifest.effective_stride
    if video is not None and stride is not None:
        counts = (video.frames, video.width, video.height, stride)
        measures = (video.fps, video.duration_s)
        if all(1 <= count <= _LARGEST for count in counts) and all(
            0 < measure <= _LARGEST for measure in measures
        ):
            return video, stride
    raise RunNotFound(
        f"The manifest of run {manifest.run_id!r} lacks facts of its video.", hint=RUN_AGAIN
    )
