"""Exported appearances are to the frame those of rendered videos, at rates that are no integers."""

from __future__ import annotations

import io
import json
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import opentimelineio
import pytest
import webvtt

from apps.common.layout import Layout
from apps.common.names import ExportFormat
from apps.demo.encode import write_episode
from apps.demo.scene import ASTRONAUT, ROCKET, Camera, Episode, Photo, Shot
from apps.results.figures import export_of
from apps.results.people_export.formats import PeopleChoice
from lab.processes.service import run_cli
from lab.scenes.director import Stage
from lab.scenes.people import GARAGE, PEOPLE

NTSC = Fraction(30000, 1001)
RUN_ID = "every"
CAST = (ASTRONAUT, PEOPLE[3], ASTRONAUT, None, PEOPLE[3])  # who is in which shot
FRAMES = (40, 25, 30, 12, 33)
START = "00:00:58;20"  # so that the numbers of dropped frames come up


def episode(name: str, fps: int | Fraction, durations: tuple[int, ...] = (1,)) -> Episode:
    """Five shots, in which nobody moves."""
    shots = []
    for place, (who, frames) in enumerate(zip(CAST, FRAMES, strict=True)):
        stage = Stage((GARAGE, ROCKET)[place % 2])
        sprites = () if who is None else (stage.standing(who, 0.5, 0.45, 0.25),)
        shots.append(Shot(frames, stage.place, Camera((stage.view,)), sprites))
    return Episode(name, tuple(shots), 320, 180, fps, durations)


@dataclass(frozen=True)
class Exported:
    """An episode with its run, and the rate of its timelines."""

    episode: Episode
    root: Path
    rate: Fraction

    def text(self, kind: ExportFormat, start: str | None = None) -> str:
        choice = PeopleChoice(start_timecode=start)
        made = export_of(Layout(self.root), self.episode.ep_id, RUN_ID, kind, choice=choice)
        return b"".join(made.pieces).decode()

    def people(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.text("people-json"))["people"]
        return found

    def truth(self) -> dict[Photo, list[tuple[int, int]]]:
        """First and last frame but one of each appearance, as a program that plays it at its rate.

        It shows in each of its frames the picture that the video has at that time.
        """
        times = [self.episode.seconds(frame) for frame in range(self.episode.frames)]
        lasts = self.episode.seconds(self.episode.frames)
        count = round(lasts * self.rate)
        shown = [bisect_right(times, float(k / self.rate) + 0.003) - 1 for k in range(count)]
        found: dict[Photo, list[tuple[int, int]]] = {}
        for start, who, frames in zip(self.episode.shot_starts, CAST, FRAMES, strict=True):
            if who is not None:
                own = [k for k, frame in enumerate(shown) if start <= frame < start + frames]
                found.setdefault(who, []).append((own[0], own[-1] + 1))
        return found


def into_mov(folder: Path) -> None:
    """The same pictures in a file that has a timecode of its own."""
    with (
        av.open(str(folder / "episode.mp4")) as old,
        av.open(str(folder / "episode.mov"), "w") as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.metadata["timecode"] = START
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    (folder / "episode.mp4").unlink()


@pytest.fixture(
    scope="module",
    params=[
        ("drop30", NTSC, (1,), NTSC),
        ("drop60", 2 * NTSC, (1,), 2 * NTSC),
        ("phone", 120, (3, 4, 5, 4), Fraction(30)),  # a variable rate, 30 on average
    ],
    ids=lambda param: param[0],
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    name, fps, durations, rate = request.param
    root = tmp_path_factory.mktemp(name)
    made = episode(name, fps, durations)
    write_episode(made, root)
    if rate == NTSC:
        into_mov(root / "videos" / name)
    fine = ["--stride", "1", "--fps", "1000", "--people", "--device", "cpu"]
    quick = ["--detector", "centerface", "--det-size", "320", "--cpu-threads", "1"]
    done = run_cli(root, "--ep-id", name, "--run-id", RUN_ID, *fine, *quick)
    assert done.returncode == 0, done.stderr
    return Exported(made, root, rate)


def test_markers_and_clips_are_the_true_frames(exported: Exported) -> None:
    rate = float(exported.rate)
    is_drop = exported.rate.denominator > 1
    start = START if is_drop else START.replace(";", ":")
    first = round(opentimelineio.opentime.from_timecode(start, rate).value)
    asked = None if exported.rate == NTSC else start  # that file says it
    truth = sorted(exported.truth().values(), key=lambda spans: -sum(b - a for a, b in spans))
    assert len(truth) == len(exported.people()) == 2

    read = opentimelineio.adapters.read_from_string(exported.text("otio", asked), "otio_json")
    (episode,) = read.find_clips()
    assert episode.source_range.start_time.value == first
    assert episode.source_range.start_time.rate == pytest.approx(rate)
    ends = exported.episode.seconds(exported.episode.frames)
    assert episode.source_range.duration.value == round(ends * rate)
    markers: dict[str, list[tuple[int, int]]] = {}
    for marker in episode.markers:
        begins = round(marker.marked_range.start_time.value) - first
        span = (begins, begins + round(marker.marked_range.duration.value))
        markers.setdefault(marker.name, []).append(span)
    assert markers == {f"person-000{n}": spans for n, spans in enumerate(truth, start=1)}

    text = exported.text("edl", asked)
    assert ("\r\nFCM: DROP FRAME\r\n" in text) is is_drop
    edl = opentimelineio.adapters.read_from_string(text, "cmx_3600", rate=rate)
    clips: dict[str, list[tuple[int, int]]] = {}
    for clip in edl.find_clips():
        begins = round(clip.source_range.start_time.value) - first
        span = (begins, begins + round(clip.source_range.duration.value))
        clips.setdefault(clip.name, []).append(span)
    assert clips == markers


def seconds_of(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def test_cues_and_boxes_are_the_true_ones(exported: Exported) -> None:
    made = exported.episode
    starts = made.shot_starts
    shots = [
        (start, start + frames)
        for start, who, frames in zip(starts, CAST, FRAMES, strict=True)
        if who is not None
    ]
    cues = list(webvtt.from_buffer(io.StringIO(exported.text("webvtt"))))
    found = [(seconds_of(cue.start), seconds_of(cue.end)) for cue in cues]
    for (begin_s, end_s), (first, behind) in zip(found, shots, strict=True):
        assert begin_s == pytest.approx(made.seconds(first), abs=0.001)
        assert end_s == pytest.approx(made.seconds(behind), abs=0.001)
    assert [cue.voice for cue in cues].count("person-0001") == 2

    root = ElementTree.fromstring(exported.text("cvat-people").encode())
    boxes: dict[str, set[int]] = {}
    for track in root.iter("track"):
        seen = {int(box.attrib["frame"]) for box in track if box.get("outside") == "0"}
        boxes.setdefault(track.attrib["label"], set()).update(seen)
    people = exported.people()
    assert set(boxes) == {person["person_id"] for person in people}
    for person in people:
        own = {
            frame
            for cue, (first, behind) in zip(cues, shots, strict=True)
            for frame in range(first, behind)
            if cue.voice == person["person_id"]
        }
        assert boxes[person["person_id"]] == own
        seconds = sum(made.seconds(frame + 1) - made.seconds(frame) for frame in own)
        assert person["screen_seconds"] == pytest.approx(seconds, abs=0.002)
