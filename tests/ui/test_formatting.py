from __future__ import annotations

from datetime import UTC, timedelta, timezone
from typing import get_args

import pytest

from apps.common.contracts.manifest import TrackEnd
from apps.ui import formatting


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (3720, "1 h 02 min"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert formatting.duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "error_s", "shown"),
    [
        (12.44, 0.31, "12.4 ± 0.3 s"),
        (12.44, 0.0, "12.4 s"),
        (0.25, 0.142, "0.2 ± 0.1 s"),
        (12.44, None, "12.4 s"),
        (5400.28, 12.36, "5,400.3 ± 12.4 s"),
    ],
)
def test_seconds_on_the_screen(seconds: float, error_s: float | None, shown: str) -> None:
    assert formatting.screen_time(seconds, error_s) == shown


def test_every_end_of_a_track_has_words() -> None:
    assert set(formatting.ENDS) == set(get_args(TrackEnd))


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (7.9, "0:07"), (750, "12:30"), (3723, "1:02:03")]
)
def test_places_in_a_video(seconds: float, shown: str) -> None:
    assert formatting.clock(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (640_000, "640 kB"),
        (1.34e9, "1.3 GB"),
        (2e13, "20.0 TB"),
    ],
)
def test_sizes(number: float | None, shown: str) -> None:
    assert formatting.size(number) == shown


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("request", "chosen here"),
        ("default", "default"),
        ("profile:balanced", "profile balanced"),
        ("env:SCREENALYTICS_STRIDE", "environment, SCREENALYTICS_STRIDE"),
        ("limit:cores", "limited by this machine's cores"),
        ("limit:SCREENALYTICS_MAX_CPU_THREADS", "limited by SCREENALYTICS_MAX_CPU_THREADS"),
        ("request, fallback:cpu", "chosen here; fallback to cpu"),
        ("device:coreml", "usual for coreml"),
        ("something new", "something new"),
    ],
)
def test_sources(word: str, shown: str) -> None:
    assert formatting.source(word) == shown


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("stride", 1, "every frame"),
        ("stride", 2, "every 2nd frame"),
        ("stride", 12, "every 12th frame"),
        ("stride", 23, "every 23rd frame"),
        ("max_cpu_percent", None, "none"),
        ("max_cpu_percent", 250.0, "250 % (2.5 cores)"),
        ("max_cpu_percent", 100.0, "100 % (1 core)"),
        ("det_size", 640, "640 px"),
        ("small_faces", "second_look", "second look"),
        ("save_crops", False, "no"),
        ("det_thresh", 0.5, "0.5"),
        ("profile", "balanced", "balanced"),
    ],
)
def test_options(name: str, value: object, shown: str) -> None:
    assert formatting.option(name, value) == shown


def test_moments_are_in_the_readers_zone() -> None:
    stamp = "2026-11-24T23:30:00+00:00"
    assert formatting.moment(stamp, UTC) == "24 Nov, 23:30"
    assert formatting.moment(stamp, timezone(timedelta(hours=1))) == "25 Nov, 00:30"
    assert formatting.moment("yesterday", UTC) == "yesterday"


@pytest.mark.parametrize(
    ("number", "shown"), [(None, "–"), (640.4, "640 MB"), (58_403.0, "58.4 GB")]
)
def test_megabytes(number: float | None, shown: str) -> None:
    assert formatting.megabytes(number) == shown


def test_a_track_is_called_by_its_number() -> None:
    assert formatting.track("track-00012") == "track 12"


def test_fields_are_called_as_the_form_calls_them() -> None:
    said = formatting.in_words("Raise max_cpu_percent, or take a larger stride; det_size=64.")
    assert said == "Raise “CPU cap”, or take a larger stride; “Detection size”=64."


def test_markdown_is_shown_as_it_is() -> None:
    assert formatting.plain("![x](h/p.png) <b> :red[x] $y$") == (
        r"\!\[x\]\(h/p\.png\) \<b\> \:red\[x\] \$y\$"
    )


@pytest.mark.parametrize(
    "code",
    [":material/delete:", ":joy:", ":+1:", ":man-running:", "http://h/", "WWW.h.io", "a@h.io"],
)
def test_no_icon_and_no_link_comes_out_of_a_text(code: str) -> None:
    shown = formatting.plain(f"x{code}").replace("\\", "")
    assert code not in shown
    assert shown.replace("\u2060", "") == f"x{code}"


def test_other_colons_stay_as_they_are() -> None:
    assert "\u2060" not in formatting.plain("10:21:05 CPU: 7 a:b 127.0.0.1:80")
