"""The benchmark: its long videos, its systems on a short one, its arithmetic, and all together."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import pytest
from rich.console import Console

from apps.common.errors import InvalidInput, RunFailed, VideoUnreadable
from apps.common.options import sampled_count
from apps.pipeline.decode.video import open_video
from lab.bench import main, parser
from lab.benchmark import report
from lab.benchmark.cases import VARIANTS
from lab.benchmark.command import cases_of, notes, prepare
from lab.benchmark.figures import (
    LIMIT,
    Benchmark,
    Case,
    Limit,
    Measurement,
    MinimumCost,
    Target,
    differences,
    judge,
    limits_of,
    summarise,
)
from lab.benchmark.inputs import ENCODERS, Source, lengthen, long_video, read_source
from lab.benchmark.systems import (
    first_frame_seconds,
    make_systems,
    measure,
    run_measured,
)
from lab.processes.service import clean_environment, gone, wait_for
from tests.pipeline.videos import (
    H264,
    HEVC,
    MPEG4,
    VP9,
    Recipe,
    needs,
    read_number,
    write_audio,
    write_numbered,
)

COUNT = 30


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=80,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        check=False,
    )


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "lab.bench", *map(str, arguments)]


# ---- long videos


@pytest.mark.parametrize(
    ("recipe", "suffix"),
    [
        pytest.param(H264, ".mp4", id="h264"),
        pytest.param(H264, ".mkv", id="h264-mkv"),
        pytest.param(HEVC, ".mp4", id="hevc"),
        pytest.param(VP9, ".webm", id="vp9"),
        pytest.param(MPEG4, ".mp4", id="mpeg4"),
        pytest.param(replace(H264, audio=True), ".mp4", id="with-sound"),
    ],
)
def test_every_packet_of_every_copy(tmp_path: Path, recipe: Recipe, suffix: str) -> None:
    short = write_numbered(tmp_path / f"short{suffix}", COUNT, recipe)
    lengthen(short, tmp_path / "long.mp4", 3)
    packets = read_packets(tmp_path / "long.mp4")
    assert [p.size for p in packets] == [p.size for p in read_packets(short)] * 3
    times = [p.dts for p in packets if p.dts is not None]
    assert len(times) == 3 * COUNT
    assert times == sorted(set(times))
    with open_video(tmp_path / "long.mp4", threads=1) as video:
        decoded = list(video.decoded())
        assert video.damaged_packets == 0
    seconds = [item.ts_s for item in decoded]
    assert [item.index for item in decoded] == list(range(3 * COUNT))
    pictures = [read_number(item.picture.pixels()) for item in decoded]
    assert pictures == [*range(COUNT)] * 3
    # A copy follows the last as a frame follows the last; mkv rounds to milliseconds.
    assert np.diff(seconds) == pytest.approx(1 / recipe.fps, abs=0.002)


def read_packets(path: Path) -> list[av.Packet]:
    with av.open(str(path)) as container:
        return [p for p in container.demux(container.streams.video[0]) if p.size > 0]


def test_the_cache_is_used(tmp_path: Path, test_data: Path) -> None:
    source = read_source(test_data / "videos" / "carphone_pristine.mp4")
    assert (source.codec, source.height, source.frames) == ("h264", 144, 120)
    assert [source.copies_for(n) for n in (1, 120, 121, 4200)] == [1, 1, 2, 35]
    first = long_video(source, "h264", 144, 2, tmp_path)
    made = first.stat().st_mtime_ns
    assert long_video(source, "h264", 144, 2, tmp_path) == first
    assert first.stat().st_mtime_ns == made
    assert long_video(source, "h264", 144, 3, tmp_path) != first
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("codec", ENCODERS)
@pytest.mark.parametrize(("width", "height"), [(88, 72), (352, 288)])
def test_a_video_of_another_kind(
    tmp_path: Path, test_data: Path, codec: str, width: int, height: int
) -> None:
    encoder, _ = ENCODERS[codec]
    needs(encoder)
    source = read_source(test_data / "videos" / "carphone_pristine.mp4")
    with open_video(long_video(source, codec, height, 2, tmp_path), threads=1) as video:
        facts = video.facts
        assert [item.index for item in video.decoded()] == list(range(240))
        assert (video.damaged_packets, video.warnings) == (0, [])
    assert (facts.codec, facts.width, facts.height, facts.frames) == (codec, width, height, 240)
    with open_video(source.path, threads=1) as original:
        assert facts.fps == pytest.approx(original.facts.fps, rel=0.001)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    write_audio(tmp_path / "sound.mp4")
    for name in ("text.mp4", "sound.mp4", "missing.mp4"):
        with pytest.raises(VideoUnreadable) as caught:
            read_source(tmp_path / name)
        assert str(tmp_path) not in caught.value.detail


# ---- the systems


def test_all_systems_process_the_same_frames(tmp_path: Path, test_data: Path) -> None:
    """And the plain loop and the product see the same faces, within what scaling changes."""
    stride = 7  # the video is no multiple of it
    video, case = test_data / "videos" / "carphone_pristine.mp4", Case(144, stride, 1)
    systems = make_systems(prepare(tmp_path, tmp_path), [], None)
    plain, product, limit = (measure(system, case, video, 1) for system in systems)
    frames = sampled_count(120, stride)
    assert [m.frames_done for m in (plain, product, limit)] == [frames] * 3
    assert plain.detections is not None
    assert product.detections is not None
    assert abs(plain.detections - product.detections) <= 2
    assert plain.detections >= 0.8 * frames
    rows = [json.loads(line) for line in (tmp_path / "plain.jsonl").read_text().splitlines()]
    assert len(rows) == plain.detections
    assert {row["frame_idx"] % stride for row in rows} == {0}
    assert any(row["track_id"] >= 0 for row in rows)
    check_same_boxes(rows, tmp_path)
    for measured in (plain, product):
        assert 0 < measured.cpu_seconds < 20
        assert 50 < measured.peak_rss_mb < 1000
    assert limit.minimum_cost is not None
    assert 0 < limit.minimum_cost.decode_cpu < limit.cpu_seconds
    assert 0 < limit.minimum_cost.inference_cpu < limit.cpu_seconds
    assert product.first_frame_seconds is not None
    assert 0 < product.first_frame_seconds < product.wall_seconds


def check_same_boxes(rows: Sequence[dict[str, Any]], data_root: Path) -> None:
    """The best face of each frame lies in the same place."""
    (found,) = data_root.glob("manifests/bench/runs/*/detections.jsonl")
    own = [json.loads(line) for line in found.read_text().splitlines()]
    size = np.array([176, 144, 176, 144])
    boxes = {row["frame_idx"]: np.array(row["bbox"]) for row in reversed(rows)}
    others = {row["frame_idx"]: np.array(row["bbox"]) * size for row in reversed(own)}
    both = boxes.keys() & others.keys()
    assert len(both) >= 0.8 * len(boxes)
    assert all(np.abs(boxes[frame] - others[frame]).max() < 12 for frame in both)


def test_insightface_beside_the_product_with_its_weights(tmp_path: Path, test_data: Path) -> None:
    weights = test_data / "weights" / "scrfd_500m_kps.onnx"
    video, case = test_data / "videos" / "carphone_pristine.mp4", Case(144, 12, 1)
    systems = {s.name: s for s in make_systems(prepare(tmp_path, tmp_path), [], weights)}
    loop, product = (
        measure(systems[name], case, video, 1) for name in ("insightface", "product-retinaface")
    )
    assert loop.frames_done == product.frames_done == 10
    assert loop.detections is not None
    assert loop.detections >= 8
    (row,) = [r for r in summarise([loop, product], {}, []) if r.system == "product-retinaface"]
    assert row.wall_ratio == pytest.approx(product.wall_seconds / loop.wall_seconds)


def test_a_process_is_measured_from_outside() -> None:
    """CPU of it and of its children, its own peak of memory, its lines when they come."""
    child = "sum(range(4 * 10**6))"
    work = (
        "import subprocess, sys, time; block = bytearray(150 * 10**6); print('early', flush=True);"
        f"subprocess.run([sys.executable, '-c', '{child}'], check=True); time.sleep(0.5);"
        "print('late')"
    )
    ballast = bytearray(400 * 10**6)  # of whoever measures: it must not count
    ballast[::4096] = b"1" * len(ballast[::4096])
    usage = run_measured([sys.executable, "-c", work], "work")
    assert [text for _, text in usage.lines] == ["early", "late"]
    assert usage.lines[1][0] - usage.lines[0][0] >= 0.5
    assert usage.lines[1][0] <= usage.wall_seconds
    assert 150 < usage.peak_rss_mb < 300
    alone = run_measured([sys.executable, "-c", "import subprocess"], "alone")
    assert usage.cpu_seconds > alone.cpu_seconds + 0.03
    assert len(ballast) > 0


def test_a_process_that_fails_says_why() -> None:
    work = "import sys; sys.stderr.write('noise\\nerror: it is broken\\n'); sys.exit(3)"
    with pytest.raises(RunFailed, match=r"^plain failed: it is broken$"):
        run_measured([sys.executable, "-c", work], "plain")


def test_a_run_that_fails_says_why() -> None:
    """It tells so in its last event, and nothing on its standard error."""
    event = '{"type": "error", "detail": "The disk is full."}'
    work = f"import sys; print('{{}}'); print({event!r}); sys.exit(1)"
    with pytest.raises(RunFailed, match=r"^product failed: The disk is full\.$"):
        run_measured([sys.executable, "-c", work], "product")


def test_a_variant_is_its_options(tmp_path: Path) -> None:
    bench_ = prepare(tmp_path, tmp_path)
    for name, options in VARIANTS.items():
        (system,) = [s for s in make_systems(bench_, [name], None) if s.name == f"product-{name}"]
        words = system.command(Case(144, 6, 2), tmp_path / "a.mp4")
        assert words[-len(options) :] == list(options)
        assert words.count("--device") == 1
        assert words.count("--people") + words.count("--no-people") == 1
        assert (system.baseline, system.limited) == ("plain", False)
    with pytest.raises(InvalidInput, match="fp16"):
        make_systems(bench_, ["fp16"], None)


# ---- the arithmetic, on made-up measurements

CASE = Case(1080, 6, 2)


def made_up(system: str, wall: float, cpu: float, number: int = 1, **more: Any) -> Measurement:
    given: dict[str, Any] = {"frames_done": 100, "detections": 50, "baseline": "plain", **more}
    return Measurement(CASE, system, round=number, wall_seconds=wall, cpu_seconds=cpu,
                       peak_rss_mb=400, **given)  # fmt: skip


def limit(decode: float, inference: float, number: int = 1) -> Measurement:
    parts = MinimumCost(decode, 2 * decode, inference, 3 * inference)
    return made_up(LIMIT, 9, 9, number, minimum_cost=parts, detections=None, baseline=LIMIT)


MEASUREMENTS = [
    *(made_up("plain", wall, cpu) for wall, cpu in ((5.0, 9.0), (6.0, 10.0), (50.0, 11.0))),
    *(made_up("product", wall, cpu) for wall, cpu in ((2.4, 4.0), (9.0, 4.4), (2.0, 4.2))),
    *(limit(decode, inference) for decode, inference in ((1.5, 2.0), (1.6, 2.1), (1.4, 2.5))),
]


def test_medians_and_ratios() -> None:
    limits = limits_of(MEASUREMENTS)
    assert limits == {
        CASE: Limit(
            decode_cpu_ms=pytest.approx(15),
            decode_wall_ms=pytest.approx(30),
            inference_cpu_ms=pytest.approx(21),
            inference_wall_ms=pytest.approx(63),
        )
    }
    plain, product = summarise(MEASUREMENTS, limits, ["product"])
    assert (plain.wall_ms, plain.cpu_ms) == (pytest.approx(60), pytest.approx(100))
    assert (plain.wall_ratio, plain.cpu_over_limit) == (None, None)
    assert (product.wall_ms, product.cpu_ms) == (pytest.approx(24), pytest.approx(42))
    assert product.wall_ratio == pytest.approx(0.4)
    assert product.cpu_ratio == pytest.approx(0.42)
    assert product.cpu_over_limit == pytest.approx(42 / 36)
    assert product.wall_over_limit == pytest.approx(24 / 21)
    (_, unlimited) = summarise(MEASUREMENTS, limits, [])
    assert unlimited.cpu_over_limit is None
    assert unlimited.cpu_ratio == pytest.approx(0.42)


def test_a_system_that_cannot_decode_the_video_has_no_row() -> None:
    unable = [made_up("plain", 1.4, 1.3, frames_done=0, detections=0), *MEASUREMENTS[3:]]
    (product,) = summarise(unable, limits_of(unable), ["product"])
    assert (product.system, product.cpu_ratio) == ("product", None)
    assert product.cpu_over_limit == pytest.approx(42 / 36)
    assert any(
        "plain processed 0 frames" in said or ", plain 0" in said for said in differences(unable)
    )


@pytest.mark.parametrize(
    ("decode", "inference", "threads", "wall"),
    [(10, 20, 1, 30), (10, 20, 2, 20), (20, 10, 2, 20), (10, 10, 2, 10), (12, 12, 4, 12)],
)
def test_the_minimum_wall_clock(decode: int, inference: int, threads: int, wall: int) -> None:
    assert Limit(decode, 0, inference, 0).wall_ms(threads) == wall
    assert Limit(decode, 0, inference, 0).cpu_ms == decode + inference


def test_a_busy_machine_is_noted() -> None:
    quiet, busy = Limit(10, 10, 20, 20.5), Limit(10, 40, 20, 60)
    assert busy.core_share == pytest.approx(0.3)
    assert not any("Other programs" in note for note in notes(None, 4200, (0, 2), [quiet]))
    (said,) = [n for n in notes(None, 4200, (0, 2), [quiet, busy]) if "Other programs" in n]
    assert "30 % of a core" in said


def test_targets_are_judged_where_they_apply() -> None:
    rows = summarise(MEASUREMENTS, limits_of(MEASUREMENTS), ["product"])
    met = {(v.figure, v.met) for v in judge(rows)}
    assert met == {
        ("cpu_ratio", True),
        ("wall_ratio", True),
        ("cpu_over_limit", False),
        ("wall_over_limit", True),
        ("peak_rss_mb", True),
    }
    elsewhere = [replace(row, case=Case(720, 6, 2)) for row in rows]
    assert judge(elsewhere) == []
    one_thread = [replace(row, case=Case(1080, 6, 1), wall_over_limit=1.13) for row in rows]
    assert [v for v in judge(one_thread) if v.figure == "wall_over_limit"][-1].max_value == 1.12
    exact = Target("product", "peak_rss_mb", 400, stride=None, threads=None, height=None)
    assert [v.met for v in judge(elsewhere, [exact])] == [True]


def test_other_work_is_noticed() -> None:
    assert differences(MEASUREMENTS) == []
    fewer = [*MEASUREMENTS, made_up("product", 1, 1, frames_done=99)]
    assert differences(fewer) == [f"{CASE.title}: product processed 99 frames, plain 100"]
    (said,) = differences([*MEASUREMENTS, made_up("product", 1, 1, detections=49)])
    assert "did not find the same faces" in said


def progress(phase: str, frames: int) -> str:
    return json.dumps({"type": "progress", "phase": phase, "frames_done": frames})


def test_the_first_frame_is_derived_from_events() -> None:
    lines = [
        (0.8, progress("starting", 0)),
        (1.0, progress("loading", 0)),
        (1.1, json.dumps({"type": "log", "message": "Using CPUExecutionProvider"})),
        (1.2, progress("running", 0)),
        (1.5, progress("running", 0)),
        (2.0, progress("running", 20)),
        (2.5, progress("running", 60)),
    ]
    assert first_frame_seconds(lines) == pytest.approx(1.2 + 0.8 / 20)
    assert first_frame_seconds(lines[:5]) is None


def test_the_table_fits_and_shows_what_was_missed() -> None:
    limits = limits_of(MEASUREMENTS)
    rows = summarise(MEASUREMENTS, limits, ["product"])
    made = Benchmark("a.mp4", 600, "now", {}, 3, 0.1, 0.2, None, rows, list(limits.items()),
                     judge(rows), ["frames differ"], [], MEASUREMENTS)  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=190).print(report.tables(made))
    text = out.getvalue()
    assert "…" not in text
    assert "limit (D 15.0, I 21.0)" in text
    for part in ("1.17", "1.12", "no", "not the same work", "frames differ"):
        assert part in text


# ---- all together


def test_everything_is_measured_with_everything() -> None:
    source = Source(Path("a.mp4"), "h264", 144, 120, "")
    given = [
        "--codecs",
        "h264,av1",
        "--heights",
        "72,144",
        "--strides",
        "10,20",
        "--threads",
        "1,2",
    ]
    assert cases_of(parser().parse_args(given), source) == [
        Case(height, stride, threads, codec)
        for codec in ("h264", "av1")
        for height in (72, 144)
        for stride in (10, 20)
        for threads in (1, 2)
    ]


def test_from_end_to_end(tmp_path: Path, test_data: Path) -> None:
    video = test_data / "videos" / "carphone_pristine.mp4"
    requested = ("--frames", "200", "--strides", "20", "--threads", "1", "--rounds", "1")
    done = bench("--video", video, *requested, "--data-root", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "…" not in done.stdout
    (folder,) = (tmp_path / "benchmarks").iterdir()
    body = json.loads((folder / "benchmark.json").read_text())
    assert (body["frames"], body["warnings"], body["verdicts"]) == (240, [], [])
    assert body["start"]["cold_seconds"] > 0
    rows = {(row["case"]["stride"], row["system"]): row for row in body["rows"]}
    assert set(rows) == {(20, "plain"), (20, "product")}
    assert rows[20, "product"]["frames_done"] == 12
    for row in rows.values():
        if row["system"] == "product":
            assert row["cpu_over_limit"] > 1
            assert row["cpu_ratio"] > 0
    assert len(body["measurements"]) == 3
    chart = cv2.imread(str(folder / "benchmark.png"))
    assert chart is not None
    assert chart.std() > 20
    assert str(tmp_path) not in (folder / "benchmark.json").read_text()


@pytest.mark.parametrize(
    ("requested", "code", "said"),
    [
        (("--heights", "4320"), 2, "2160"),
        (("--codecs", "vp8"), 2, "h264, hevc, av1"),
        (("--variants", "fp16"), 2, "int8"),
        (("--rounds", "0"), 2, "--rounds"),
        (("--strides", "6,x"), 2, "--strides"),
        (("--video", "nothing.mp4"), 3, "--video"),
    ],
)
def test_bad_arguments(
    tmp_path: Path,
    test_data: Path,
    requested: tuple[str, str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    video = test_data / "videos" / "carphone_pristine.mp4"
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # those of the tests stay as they are
    words = command("--video", video, *requested, "--frames", "100", "--data-root", tmp_path)
    monkeypatch.setattr(sys, "argv", words[2:])
    try:
        ended = main()
    except SystemExit as refused:  # by argparse
        ended = refused.code
    assert ended == code
    assert said in capsys.readouterr().err


def test_an_interrupted_benchmark_leaves_no_process(tmp_path: Path, test_data: Path) -> None:
    video = test_data / "videos" / "short_hamilton_clip.mp4"
    requested = ("--video", video, "--strides", "1", "--data-root", tmp_path)
    with subprocess.Popen(
        command(*requested),
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        root = psutil.Process(process.pid)
        family: list[psutil.Process] = wait_for(
            lambda: f if len(f := root.children(recursive=True)) >= 2 else None, what="a run"
        )
        process.send_signal(2)
        errors = process.communicate(timeout=20)[1]
    assert process.returncode == 130
    assert errors == b"Stopped.\n"
    assert gone(family)
    assert not (tmp_path / "benchmarks").exists()
