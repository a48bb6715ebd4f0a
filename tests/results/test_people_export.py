"""People in other programs' formats, read back by other readers."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from fractions import Fraction
from xml.etree import ElementTree

import opentimelineio
import pytest
import webvtt as webvtt_reader
from hypothesis import given
from hypothesis import strategies as st

from apps.common.contracts.manifest import VideoFacts
from apps.common.contracts.rows import PersonRow
from apps.common.errors import InvalidInput, PackageMissing
from apps.common.names import person_name, track_name
from apps.results.cvat import TrackLabels, cvat
from apps.results.people_export.clock import FrameClock, Timecodes, start_of, timeline_rate
from apps.results.people_export.formats import labels_by_person
from apps.results.people_export.tables import (
    Together,
    seconds_csv,
    seconds_json,
    stretches_of,
    together_csv,
    together_json,
)
from apps.results.people_export.timeline import Timeline, edl, otio
from apps.results.people_export.webvtt import webvtt
from apps.results.people_export.words import cell, distinct_labels, label_of, one_line
from tests.results.test_export import ROWS, RUN

NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)
NAMES = [
    "Anna", 'Bo "B", Jr.', "=1+1", "+1", "-1", "@cmd", "\t=1", "a;=1+1", "<b>&amp;</b> --> >",
    "a\nb\r\nc", "שרה", "\u202eevil\u202c", "WEBVTT\n\nNOTE x", "x" * 10_000, " \n ", "\u200b",
    "a\x00b\x1f\ufffe", "]]>'\"", "José 🎬", None,
]  # fmt: skip


def person(
    number: int, name: str | None, *stretches: tuple[float, float], hidden: bool = False
) -> PersonRow:
    seconds = sum(max(0.0, end - begin) for begin, end in stretches)
    return PersonRow(
        person_id=person_name(number),
        ep_id="e",
        name=name,
        track_ids=[track_name(number)],
        appearances=list(stretches),
        screen_seconds=seconds,
        screen_error_seconds=0.05,
        share=min(1.0, seconds / 100),
        best_faces=[],
        confidence=1.0,
        hidden=hidden,
    )  # fmt: skip


PEOPLE = [
    person(1, "Anna", (0.0, 10.0), (20.0, 25.0)),
    person(2, None, (5.0, 22.0)),
    person(3, "C"),
]
STRANGE = [person(number, name, (number, number + 0.5)) for number, name in enumerate(NAMES, 1)]


def video(fps: float, duration_s: float, *, variable: bool = False) -> VideoFacts:
    return VideoFacts(
        width=640, height=360, coded_width=640, coded_height=360, rotation=0,
        sample_aspect_ratio=1.0, fps=fps, variable_frame_rate=variable,
        frames=max(1, round(duration_s * fps)), duration_s=round(duration_s, 3), codec="h264",
        container="mp4",
    )  # fmt: skip


def timeline(clock: FrameClock, start: str | None = None) -> Timeline:
    return Timeline("show-s01e01", "r1", "episode.mp4", clock, *start_of(start, clock.rate))


# --- tables -----------------------------------------------------------------------------------


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_seconds_by_the_csv_module() -> None:
    first, second, third = lines("".join(seconds_csv(PEOPLE)))
    assert first == {
        "person_id": "person-0001", "name": "Anna", "screen_seconds": "15.0",
        "screen_error_seconds": "0.05", "share": "0.15", "first_s": "0.0", "last_s": "25.0",
        "appearances": "2", "hidden": "false",
    }  # fmt: skip
    assert (second["name"], second["appearances"]) == ("", "1")
    assert (third["first_s"], third["last_s"], third["appearances"]) == ("", "", "0")


def test_seconds_as_json() -> None:
    body = json.loads("".join(seconds_json(PEOPLE, "e", "r")))
    assert (body["ep_id"], body["run_id"]) == ("e", "r")
    assert body["people"][0]["appearances"] == [[0.0, 10.0], [20.0, 25.0]]
    assert body["people"][2]["first_s"] is None
    assert [
        row["name"] for row in json.loads("".join(seconds_json(STRANGE, "e", "r")))["people"]
    ] == NAMES


def test_names_stay_in_their_cell_and_are_no_formulas() -> None:
    for text in ("".join(seconds_csv(STRANGE)), "".join(together_csv(STRANGE))):
        rows = lines(text)
        assert [row["person_id"] for row in rows] == [row.person_id for row in STRANGE]
        assert len(text.splitlines()) == len(STRANGE) + 1
        for row in rows:
            assert None not in row
            for separator in (";", "\t", "|"):
                for part in row["name"].split(separator):
                    assert not part.strip().startswith(("=", "+", "-", "@"))
        assert [row["name"] for row in rows[:3]] == ["Anna", 'Bo "B", Jr.', "'=1+1"]


def test_who_with_whom() -> None:
    rows = lines("".join(together_csv(PEOPLE)))
    ids = [row.person_id for row in PEOPLE]
    matrix = [[float(row[other]) for other in ids] for row in rows]
    assert matrix == [[15.0, 7.0, 0.0], [7.0, 17.0, 0.0], [0.0, 0.0, 0.0]]
    body = json.loads("".join(together_json(PEOPLE, "e", "r")))
    assert body["seconds"] == matrix
    assert body["pairs"] == [{"a": "person-0001", "b": "person-0002", "seconds": 7.0}]
    assert [row["person_id"] for row in body["people"]] == ids
    assert json.loads("".join(together_json([], "e", "r")))["seconds"] == []


MOMENT = st.integers(0, 60)


@given(st.lists(st.lists(st.tuples(MOMENT, MOMENT), max_size=6), max_size=6))
def test_who_with_whom_is_what_counting_second_by_second_finds(
    drawn: list[list[tuple[int, int]]],
) -> None:
    people = [
        person(number, None, *((float(a), float(b)) for a, b in each))
        for number, each in enumerate(drawn, 1)
    ]
    seen = [{second for a, b in each for second in range(a, b)} for each in drawn]
    together = Together(people)
    for place, own in enumerate(seen):
        assert together.row(place) == [len(own & other) for other in seen]


# --- timecodes and frames ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "rate", [NTSC, 2 * NTSC, Fraction(24000, 1001), Fraction(25), Fraction(60)]
)
def test_timecodes_are_opentimelineios(rate: Fraction) -> None:
    codes = Timecodes.usual(rate)
    minute = codes.nominal * 60
    near = {n * minute + off for n in range(0, 70) for off in range(-80, 5)} | {int(rate * 86_000)}
    for frame in sorted(frame for frame in near if frame >= 0):
        text = codes.text(frame)
        assert text == opentimelineio.opentime.RationalTime(frame, float(rate)).to_timecode()
        assert start_of(text, rate) == (frame, codes)


def test_drop_frame_timecodes_keep_up_with_the_clock() -> None:
    for rate in (NTSC, 2 * NTSC):
        hour = Timecodes.usual(rate).frame(1, 0, 0, 0)
        assert abs(hour / rate - 3600) < Fraction(1, 200)
        assert Timecodes(rate, drops=False).frame(1, 0, 0, 0) / rate == Fraction("3603.6")


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("", NTSC), ("1:00:00:00", NTSC), ("00:01:00;00", NTSC), ("00:01:00;03", 2 * NTSC),
        ("00:00:00;30", NTSC), ("00:00:00:25", Fraction(25)), ("01:00:00;00", Fraction(25)),
        ("24:00:00:00", NTSC), ("00:60:00:00", NTSC), ("00:00:60:00", NTSC), ("٠١:00:00:00", NTSC),
        ("01:00:00:00\n", NTSC), ("9" * 10_000, NTSC),
    ],
)  # fmt: skip
def test_what_is_no_timecode_is_refused(text: str, rate: Fraction) -> None:
    with pytest.raises(InvalidInput) as refused:
        start_of(text, rate)
    assert refused.value.hint
    assert len(refused.value.message) < 300


@pytest.mark.parametrize(
    ("fps", "variable", "rate"),
    [
        (29.97003, False, NTSC), (29.97, False, NTSC), (30.0, False, 30), (23.976, False, FILM),
        (59.940060, False, 2 * NTSC), (12.0, False, 12), (12.5, False, Fraction(25, 2)),
        (15.0001, False, 15), (28.3, True, NTSC), (17.0, True, FILM),
        (0.001, False, Fraction(1, 1000)),
    ],
)  # fmt: skip
def test_the_rate_of_a_timeline(fps: float, variable: bool, rate: Fraction) -> None:
    assert timeline_rate(fps, variable=variable) == rate


@pytest.mark.parametrize("fps", [30000 / 1001, 60000 / 1001, 25.0, 12.0])
@pytest.mark.parametrize("digits", [3, 4])
def test_frames_are_exact_for_hours_also_where_times_are_rounded(fps: float, digits: int) -> None:
    clock = FrameClock.of(video(round(fps, 6), 800_000 / fps), 0.85)
    assert clock.frames == 800_000
    for frame in range(0, clock.frames, 997):
        assert clock.frame(round(0.85 + frame / fps, digits)) == frame


def test_stretches_outside_of_the_video_are_left_out_and_none_is_empty() -> None:
    clock = FrameClock.of(video(25.0, 4.0), 1.0)
    assert clock.frames == 100
    found = clock.spans([(-5, 0.5), (0.0, 1.01), (2.0, 2.0001), (4.96, 99.0), (5.0, 6.0)])
    assert found == [(0, 1), (25, 26), (99, 100)]


# --- timelines --------------------------------------------------------------------------------


def read_otio(text: str) -> opentimelineio.schema.Timeline:
    return opentimelineio.adapters.read_from_string(text, "otio_json")


@pytest.mark.parametrize("fps", [30000 / 1001, 60000 / 1001, 25.0])
def test_an_appearance_is_a_marker_of_its_frames(fps: float) -> None:
    clock = FrameClock.of(video(fps, 1800 / fps), 0.0)
    read = read_otio(otio(PEOPLE, timeline(clock, "01:00:00:00")))
    hour = 3600 * math.ceil(fps)
    (clip,) = read.find_clips()
    assert clip.source_range.start_time.value == read.global_start_time.value == hour
    assert clip.available_range() == clip.source_range
    assert clip.source_range.duration.value == 1800
    assert clip.media_reference.target_url == "episode.mp4"
    found = [
        (m.name, m.marked_range.start_time.value - hour, m.marked_range.duration.value, m.color)
        for m in clip.markers
    ]
    wanted = []
    for row, colour in zip(PEOPLE, ("GREEN", "CYAN", "BLUE"), strict=True):
        for begin, end in row.appearances:
            first, behind = clock.span(begin, end) or (0, 0)
            wanted.append((row.name or row.person_id, first, behind - first, colour))
    assert found == wanted
    assert {m.marked_range.start_time.rate for m in clip.markers} == {float(clock.rate)}
    facts = [dict(marker.metadata["screenalytics"]) for marker in clip.markers]
    assert facts[1] == {"person_id": "person-0001", "appearance": 2, "appearances": 2}


@pytest.mark.parametrize(
    ("fps", "minute"),
    [
        (30000 / 1001, "00:00:57;29 00:01:01;01"),
        (60000 / 1001, "00:00:57;57 00:01:01;01"),
        (25.0, "00:00:58:00 00:01:01:00"),
    ],
)
def test_an_edl_by_opentimelineios_adapter(fps: float, minute: str) -> None:
    clock = FrameClock.of(video(fps, 90.0), 0.0)
    people = [person(1, "Anna", (58.0, 61.0), (70.0, 71.0)), *STRANGE]
    text = "".join(edl(people, timeline(clock)))
    assert text.splitlines()[1] == ("FCM: NON-DROP FRAME" if fps == 25 else "FCM: DROP FRAME")
    read = opentimelineio.adapters.read_from_string(text, "cmx_3600", rate=float(clock.rate))
    assert read.name == "show-s01e01"
    (track,) = read.tracks
    clips = list(track.find_clips())
    assert [clip.name for clip in clips[:2]] == ["Anna", "Anna"]
    assert [clip.name for clip in clips[2:]] == [label_of(row, 200) for row in STRANGE]
    spans = [span for row in people for span in clock.spans(stretches_of(row))]
    found = [
        (round(clip.source_range.start_time.value), round(clip.source_range.duration.value))
        for clip in clips
    ]
    assert found == [(first, behind - first) for first, behind in spans]
    assert minute in text.splitlines()[3]


def test_an_edl_says_where_the_masters_timecode_begins() -> None:
    clock = FrameClock.of(video(25.0, 30.0), 0.0)
    text = "".join(edl([person(1, "Anna", (2.0, 3.0))], timeline(clock, "10:00:00:00")))
    assert text == (
        "TITLE: show-s01e01\r\nFCM: NON-DROP FRAME\r\n\r\n"
        "001  SHOWS01E V     C        10:00:02:00 10:00:03:00 01:00:00:00 01:00:01:00\r\n"
        "* FROM CLIP NAME:  Anna\r\n"
        "* SOURCE FILE: episode.mp4\r\n"
        "* LOC: 01:00:00:00 GREEN   Anna\r\n"
        "* person-0001, APPEARANCE 1 OF 1\r\n\r\n"
    )


def test_strange_names_stay_in_their_markers_and_lines() -> None:
    clock = FrameClock.of(video(25.0, 30.0), 0.0)
    (clip,) = read_otio(otio(STRANGE, timeline(clock))).find_clips()
    assert [marker.name for marker in clip.markers] == [label_of(row, 200) for row in STRANGE]
    text = "".join(edl(STRANGE, timeline(clock)))
    assert len(text.split("\r\n")) == len(text.splitlines()) + 1 == 4 + 6 * len(STRANGE)


def test_nobody_is_a_timeline_too() -> None:
    clock = FrameClock.of(video(25.0, 30.0), 0.0)
    (clip,) = read_otio(otio([], timeline(clock))).find_clips()
    assert len(clip.markers) == 0
    assert opentimelineio.adapters.read_from_string("".join(edl([], timeline(clock))), "cmx_3600")


def test_without_opentimelineio_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FrameClock.of(video(25.0, 30.0), 0.0)
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    with pytest.raises(PackageMissing, match="OpenTimelineIO is not installed") as missing:
        otio(PEOPLE, timeline(clock))
    assert "requirements-editors.txt" in missing.value.message
    assert "".join(edl(PEOPLE, timeline(clock)))


# --- WebVTT -----------------------------------------------------------------------------------


def test_webvtt_by_another_reader() -> None:
    text = "".join(webvtt(PEOPLE))
    cues = webvtt_reader.from_buffer(io.StringIO(text))
    found = [(cue.identifier, cue.start_in_seconds, cue.end_in_seconds, cue.voice) for cue in cues]
    assert found == [
        ("person-0001-1", 0, 10, "Anna"),
        ("person-0002-1", 5, 22, "person-0002"),
        ("person-0001-2", 20, 25, "Anna"),
    ]
    assert [cue.text for cue in cues] == ["Anna", "person-0002", "Anna"]


def test_webvtt_names_are_text() -> None:
    text = "".join(webvtt(STRANGE))
    blocks = text.split("\n\n")
    assert blocks[0] == "WEBVTT"
    assert len(blocks) == len(STRANGE) + 1
    for block, row in zip(blocks[1:], STRANGE, strict=True):
        identifier, times, payload = block.rstrip("\n").split("\n")
        assert identifier == f"{row.person_id}-1"
        assert times.count("-->") == 1
        assert "-->" not in payload
        assert payload.count("<") == payload.count(">") == 2
    assert "<v &lt;b&gt;&amp;amp;&lt;/b&gt; --&gt; &gt;>" in text


def test_webvtt_times_of_long_and_early_videos() -> None:
    text = "".join(
        webvtt([person(1, "A", (-1.0, -0.5), (-0.5, 0.0001), (360_000.5, 360_000.5004))])
    )
    times = [line for line in text.splitlines() if "-->" in line]
    assert times == ["00:00:00.000 --> 00:00:00.001", "100:00:00.500 --> 100:00:00.501"]


# --- CVAT -------------------------------------------------------------------------------------


def labelled(labels: TrackLabels) -> ElementTree.Element:
    return ElementTree.fromstring("".join(cvat(ROWS, RUN, labels)).encode())


def test_cvat_labels_tracks_by_person() -> None:
    people = [person(1, "Anna"), person(2, "Bo", hidden=True)]
    root = labelled(labels_by_person(people, hidden=False))
    assert [track.get("label") for track in root.iter("track")] == ["Anna", "face"]
    assert [label.findtext("name") for label in root.iter("label")] == ["face", "Anna"]
    assert all(label.find("attributes/attribute/name") is not None for label in root.iter("label"))
    root = labelled(labels_by_person(people, hidden=True))
    assert [track.get("label") for track in root.iter("track")] == ["Anna", "Bo", "face"]


def test_cvat_labels_of_strange_names_are_distinct_and_short_enough() -> None:
    people = [*STRANGE, person(51, "Anna"), person(52, "face"), person(53, "x" * 9_999)]
    root = labelled(labels_by_person(people, hidden=False))
    names = [label.findtext("name") or "" for label in root.iter("label")]
    assert len(set(names)) == len(names) == len(people) + 1
    assert max(map(len, names)) == 64
    assert {"Anna", "Anna (person-0051)", "face (person-0052)"} < set(names)
    assert [track.get("label") for track in root.iter("track")][:2] == ["Anna", 'Bo "B", Jr.']


# --- words ------------------------------------------------------------------------------------


def test_one_line() -> None:
    assert one_line(" a\r\n\tb\u2028c\x00 \ud800") == "a b c \ufffd"
    assert one_line("\u202eabc\u202c שרה\u200f") == "abc שרה\u200f"


def test_a_name_that_nobody_can_see_is_none() -> None:
    for name in (None, "", " \n", "\u200b\u200f", "\u202e"):
        assert label_of(person(7, name), 50) == "person-0007"
    assert label_of(person(7, "abcdef"), 5) == "abcd…"


@given(st.text(max_size=30))
def test_no_cell_is_a_formula(text: str) -> None:
    shown = cell(one_line(text))
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))
    assert shown.replace("'", "") == one_line(text).replace("'", "")


@given(
    st.lists(
        st.sampled_from(["A", "A (person-0002)", "A (person-0003)", "face", "b" * 70]), max_size=6
    )
)
def test_labels_are_distinct(names: list[str]) -> None:
    people = [person(number, name) for number, name in enumerate(names, 1)]
    labels = distinct_labels(people, 64, taken=["face"])
    assert len({"face", *labels.values()}) == len(people) + 1
    assert all(len(label) <= 64 for label in labels.values())
