"""The benchmark from its arguments to its report; `lab.bench` is its command line."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from apps.common.config import model_registry
from apps.common.cpu_limits import host_thread_limit
from apps.common.errors import InvalidInput, ScreenalyticsError
from apps.common.files import sha256_of, shown
from apps.common.layout import Layout
from apps.common.settings import Settings
from apps.common.version import library_versions
from apps.pipeline.detect.centerface import prepared_model
from apps.pipeline.detect.weights import packaged_model
from lab.benchmark import report
from lab.benchmark.cases import FULL_FRAMES, QUICK_FRAMES, QUICK_STRIDE
from lab.benchmark.figures import (
    TARGET_FRAMES,
    Benchmark,
    Case,
    Limit,
    Measurement,
    Start,
    differences,
    judge,
    limits_of,
    summarise,
)
from lab.benchmark.inputs import ENCODERS, HEIGHTS, MAX_HEIGHT, Source, long_video, read_source
from lab.benchmark.systems import (
    Bench,
    System,
    first_frame_seconds,
    make_systems,
    measure,
    product,
    run_measured,
)
from lab.paths import SHARED_DATA

FREE = 0.95  # of a core; a single thread that gets less has other programs beside it
_LIBRARIES = (
    "av",
    "numpy",
    "onnxruntime",
    "onnxruntime-openvino",
    "opencv-python-headless",
    "trackers",
)


def run(arguments: argparse.Namespace) -> int:
    """Measures and reports on a console; returns the exit status."""
    # A file or a pipe has no width; 80 columns would cut the table's words.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 190)
    return exit_code_of(lambda: bench(arguments, console))


def exit_code_of(work: Callable[[], int | None]) -> int:
    """Does the work; None is 0, and what stops it is a sentence and its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends its process, like Ctrl-C
    try:
        return work() or 0
    except ScreenalyticsError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130


def bench(arguments: argparse.Namespace, console: Console) -> None:
    """Measures all systems, and writes the report.

    Raises:
        ScreenalyticsError: with a sentence on what to do.
    """
    data_root = Settings.read(data_root=arguments.data_root).data_root.resolve()
    source = read_source(find_video(arguments.video))
    cases = cases_of(arguments, source)
    frames = arguments.frames or (QUICK_FRAMES if arguments.quick else FULL_FRAMES)
    copies = source.copies_for(frames)
    cache = Layout(data_root).cache
    load_before = os.getloadavg()[0]
    console.print("Making the videos, where they are not in the cache ...")
    kinds = {(case.codec, case.height) for case in cases}
    videos = {kind: long_video(source, *kind, copies, cache / "benchmark") for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        prepared = prepare(cache, Path(scratch))
        systems = make_systems(
            prepared, arguments.variants, arguments.retinaface_model, arguments.detector_model
        )
        short = Case(source.height, QUICK_STRIDE, max(arguments.threads), source.codec)
        start = measure_start(source.path, short, Path(scratch))
        for system in systems:
            if system.prepares:
                run_measured(system.command(short, source.path), system.name)
        measurements = measure_all(
            systems, cases, videos, arguments.rounds, lambda m: console.print(one_line(m))
        )
    limits = limits_of(measurements)
    rows = summarise(measurements, limits, [s.name for s in systems if s.limited])
    load_after = os.getloadavg()[0]
    benchmark = Benchmark(
        video=source.path.name,
        frames=copies * source.frames,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        rounds=arguments.rounds,
        load_before=load_before,
        load_after=load_after,
        start=start,
        rows=rows,
        limits=list(limits.items()),
        verdicts=judge(rows),
        warnings=differences(measurements),
        notes=notes(
            start, copies * source.frames, (load_before, load_after), list(limits.values())
        ),
        measurements=measurements,
    )
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    folder = data_root / "benchmarks" / stamp if arguments.out is None else arguments.out
    paths = report.save(benchmark, folder)
    console.print(report.tables(benchmark))
    for note in benchmark.notes:
        console.print(f"Note: {note}", soft_wrap=True)
    for path in paths:
        console.print(f"Saved {shown(path)}", soft_wrap=True)


def find_video(given: Path | None) -> Path:
    """The video that was given, else that of the test data.

    Raises:
        InvalidInput: none is given, and there is no test data.
    """
    if given is not None:
        return given
    named = os.environ.get("SCREENALYTICS_TEST_DATA")
    folder = Path(named) if named else SHARED_DATA
    path = folder / "videos" / "facenet_video.mp4"
    if not path.is_file():
        raise InvalidInput(
            "There is no test data to take a video from.",
            hint="Name a short video with --video, or the data with SCREENALYTICS_TEST_DATA.",
        )
    return path


def cases_of(arguments: argparse.Namespace, source: Source) -> list[Case]:
    """What is measured: codecs, heights, strides and threads, each with each.

    Raises:
        InvalidInput: a height or a codec that no video is made of.
    """
    usual = [height for height in HEIGHTS if height <= source.height] or [source.height]
    heights = arguments.heights or (usual[-1:] if arguments.quick else usual)
    if max(heights) > MAX_HEIGHT:
        raise InvalidInput(f"--heights {max(heights)}: {MAX_HEIGHT} is the most.")
    codecs = arguments.codecs or [source.codec]
    unknown = set(codecs) - set(ENCODERS) - {source.codec}
    if unknown:
        raise InvalidInput(
            f"--codecs {', '.join(sorted(unknown))}: no video is made of that.",
            hint=f"Give some of {', '.join(ENCODERS)}.",
        )
    strides = arguments.strides or ([QUICK_STRIDE] if arguments.quick else [1, 6, 12])
    return [
        Case(height, stride, threads, codec)
        for codec in codecs
        for height in heights
        for stride in strides
        for threads in arguments.threads
    ]


def prepare(cache: Path, scratch: Path) -> Bench:
    config = model_registry().detectors["centerface"]
    shipped = packaged_model(config)
    sha256 = sha256_of(shipped)
    return Bench(prepared_model(shipped, sha256, cache), config, scratch)


def measure_start(video: Path, case: Case, data_root: Path) -> Start | None:
    """The short video twice: in an empty data root, and once more. None where it is too short."""
    command = product(data_root, "--detector", "centerface")
    cold, warm = (
        first_frame_seconds(run_measured(command(case, video), "product").lines) for _ in range(2)
    )
    return None if cold is None or warm is None else Start(cold, warm)


def measure_all(
    systems: list[System],
    cases: list[Case],
    videos: dict[tuple[str, int], Path],
    rounds: int,
    tell: Callable[[Measurement], None],
) -> list[Measurement]:
    measurements = []
    for number in range(rounds):
        first = number % len(systems)
        for case in cases:
            for system in (*systems[first:], *systems[:first]):
                measurement = measure(system, case, videos[case.codec, case.height], number + 1)
                measurements.append(measurement)
                tell(measurement)
    return measurements


def one_line(m: Measurement) -> str:
    return (
        f"round {m.round}  {m.case.title:<28} {m.system:<20}"
        f"{m.wall_seconds:8.2f} s  CPU {m.cpu_seconds:7.2f} s"
    )


def machine() -> dict[str, str]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(host_thread_limit()[0]),
        "python": platform.python_version(),
        **library_versions(_LIBRARIES),
    }


def notes(
    start: Start | None, frames: int, load: tuple[float, float], limits: Sequence[Limit]
) -> list[str]:
    said = [
        f"Load of the machine: {load[0]:.1f} before, {load[1]:.1f} after (the benchmark's own too)."
    ]
    share = min(limit.core_share for limit in limits)
    if share < FREE:
        said.append(
            f"Other programs were running: each thread of the limit got {100 * share:.0f} % of a "
            f"core. Wall clock, also over the limit, may be {1 / share:.1f} times too long; CPU "
            "and ratios to the plain loop hold better."
        )
    if start is not None:
        said.append(
            f"Start to the first processed frame of the short video: {start.cold_seconds:.2f} s "
            f"with an empty data root, {start.warm_seconds:.2f} s after that."
        )
    if frames < TARGET_FRAMES:
        said.append(
            f"The targets are for {TARGET_FRAMES} frames or more; start-up weighs more in {frames}."
        )
    return said
