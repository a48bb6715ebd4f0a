"""Completed runs of a scene that is known, written by the product's own writers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.common.config import CropsConfig, pipeline_config
from apps.common.contracts.manifest import ModelFacts, PeopleFacts, VideoFacts, VideoFile
from apps.common.layout import Layout
from apps.common.names import track_name
from apps.common.screen_time import CutSpan, SampleEdges
from apps.pipeline.artifacts.people import Person, write_embeddings, write_people
from apps.pipeline.artifacts.writer import ArtifactWriter, RunTotals, publish
from apps.pipeline.types import Faces, Scene, Sighting, TrackedSighting
from apps.runs.record import RunRecord
from lab.specs import spec_of

EP = "test-ep"
FPS, FRAMES = 24.0, 960
_LONG = 32  # numbers of an embedding


@dataclass(frozen=True)
class Visit:
    """Somebody in the picture: from a frame up to another one, at a place that moves slowly.

    Args:
        who: number of the person.
        x: left side of the face, 0..0.8.
    """

    who: int
    first: int
    end: int
    x: float = 0.1

    def box(self, frame: int) -> tuple[float, float, float, float]:
        left = self.x + 0.05 * (frame - self.first) / FRAMES
        return (left, 0.25, left + 0.15, 0.5)


def face_of(who: int, visit: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """An embedding: those of one person are alike, those of two are not."""
    random = np.random.default_rng([who])
    vector = random.normal(size=_LONG) + np.random.default_rng([who, visit]).normal(size=_LONG) / 8
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def complete_run(
    root: Path,
    run_id: str,
    visits: Sequence[Visit],
    groups: Sequence[Sequence[int]],
    *,
    ep_id: str = EP,
    stride: int = 6,
    cuts: Sequence[int] = (),
    begins_s: float = 0.0,
    uneven: float = 0.0,
    frame: float = 0.0,
    model: str = "dlib",
    fingerprint: str = "same",
) -> dict[int, str]:
    """Writes a run; the tracks by the numbers of the visits that were sampled.

    Args:
        groups: people: numbers of visits; those that are in none are nobody's.
        cuts: frames where a shot begins.
        uneven: how much the distances of pictures differ, 0..1 of the usual one.
        frame: how much further out this run's detector draws the sides of a face.
    """
    layout = Layout(root)
    tracks = _tracks(visits, stride)
    spec = spec_of(root, ep_id, run_id)
    record = RunRecord(layout, spec, {})
    random = np.random.default_rng(1).uniform(-uneven, uneven, FRAMES)
    seconds = begins_s + (np.arange(FRAMES) + np.cumsum(random)) / FPS
    end_s = float(seconds[-1]) + 1 / FPS
    edges = SampleEdges(seconds, end_s, stride)
    crops = CropsConfig(margin=0.25, jpeg_quality=90, thumbs_per_track=5)
    with ArtifactWriter(
        record.files, ep_id, "centerface", edges, crops, pipeline_config().metrics
    ) as writer:
        for at in range(0, FRAMES, stride):
            writer.add(_sample(at, stride, seconds, visits, tracks, cuts, frame))
        sampled_cuts = sorted({-(-cut // stride) * stride for cut in cuts})
        totals = RunTotals(
            FRAMES, FRAMES // stride, FPS, 1.0, 1.0, "cpu", "centerface", "test", sampled_cuts
        )
        writer.finish(totals, dict.fromkeys(tracks.values(), "lost"))
        people = [_person([v for v in group if v in tracks], visits, tracks) for group in groups]
        people = [person for person in people if person.tracks]
        staged = record.files.staged
        write_people(staged, ep_id, people, writer.on_screen, end_s - float(seconds[0]))
        facts = ModelFacts(id=model, sha256="0" * 64, licence="CC0-1.0", file="model")
        described = {tracks[v]: (face_of(visits[v].who, v), 0.01, 3) for v in tracks}
        write_embeddings(staged, facts, described)
    publish(record.files)
    record.update(
        video=VideoFacts(
            width=640, height=360, coded_width=640, coded_height=360, rotation=0,
            sample_aspect_ratio=1.0, fps=FPS, variable_frame_rate=False, frames=FRAMES,
            duration_s=end_s - float(seconds[0]), codec="h264", container="mp4",
        ),
        video_file=VideoFile(name="episode.mp4", size_bytes=1, fingerprint=fingerprint),
        effective_stride=stride,
        people=PeopleFacts(
            model=facts, faces=1, described=len(tracks), unassigned=0, people=len(people),
            max_distance=0.072,
        ),
    )  # fmt: skip
    record.end("completed", "All frames were processed.")
    record.point_latest()
    return {visit: track_name(number) for visit, number in tracks.items()}


def copy_results(root: Path, ep_id: str, run_id: str, to: str) -> None:
    """Gives another episode a run with the same results."""
    layout = Layout(root)
    files = layout.run(to, run_id)
    shutil.copytree(layout.run(ep_id, run_id).folder, files.folder)
    manifest = json.loads(files.manifest.read_text())
    files.manifest.write_text(json.dumps({**manifest, "ep_id": to}))


def _tracks(visits: Sequence[Visit], stride: int) -> dict[int, int]:
    """Numbers of tracks by those of visits: in the order in which they begin."""
    first = {
        number: -(-visit.first // stride) * stride
        for number, visit in enumerate(visits)
        if -(-visit.first // stride) * stride < visit.end
    }
    ordered = sorted(first, key=lambda number: (first[number], number))
    return {visit: number for number, visit in enumerate(ordered, start=1)}


def _sample(
    at: int,
    stride: int,
    seconds: NDArray[np.float64],
    visits: Sequence[Visit],
    tracks: dict[int, int],
    cuts: Sequence[int],
    frame: float,
) -> TrackedSighting:
    there = [number for number in tracks if visits[number].first <= at < visits[number].end]
    grown = np.array([-frame, -frame, frame, frame])
    boxes = np.array([visits[number].box(at) for number in there]).reshape(-1, 4) + grown
    faces = Faces(
        boxes.clip(0, 1).astype(np.float32),
        np.full((len(there), 5, 2), 0.3, np.float32),
        np.full(len(there), 0.9, np.float32),
    )
    shot = sum(cut <= at for cut in cuts)
    begins = [cut for cut in cuts if at - stride < cut <= at]
    cut = CutSpan(float(seconds[begins[0] - 1]), float(seconds[begins[0]])) if begins else None
    return TrackedSighting(
        Sighting(at, float(seconds[at]), faces, Scene(shot, cut=cut), None, ()),
        tuple(tracks[number] for number in there),
    )


def _person(group: Sequence[int], visits: Sequence[Visit], tracks: dict[int, int]) -> Person:
    rows = np.array([face_of(visits[number].who, number) for number in group]).reshape(-1, _LONG)
    mean = rows.mean(axis=0) if len(rows) else np.zeros(_LONG)
    confidence = 1.0 if len(rows) < 2 else float((rows @ (mean / np.linalg.norm(mean))).min())
    faces = tuple(
        (0.9 - number / 100, tracks[number], visits[number].first, visits[number].first / FPS)
        for number in group
    )
    return Person(tuple(sorted(tracks[number] for number in group)), faces, confidence)
