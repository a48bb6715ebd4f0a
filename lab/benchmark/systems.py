"""What is measured: each system is a command, and a way to read what it says at its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.common.config import DetectorConfig, run_defaults
from apps.common.errors import InvalidInput, RunFailed
from apps.common.python_module import python_module, same_code
from apps.runs.launch import RUN_MODULE
from lab.benchmark.cases import VARIANTS
from lab.benchmark.figures import LIMIT, Case, Measurement, MinimumCost

EP_ID = "bench"
DET_SIZE = 640
_OWN_VARIABLES = "SCREENALYTICS_"

Line = tuple[float, str]  # seconds since the process's start, and what it printed


@dataclass(frozen=True)
class Bench:
    """What all measurements share.

    Args:
        model: CenterFace as it is prepared for ONNX Runtime.
        config: CenterFace's entry in `config/models.toml`.
        scratch: folder for results, thrown away at the end.
    """

    model: Path
    config: DetectorConfig
    scratch: Path


@dataclass(frozen=True)
class Said:
    """What a system says of its work; see `Measurement`."""

    frames_done: int
    detections: int | None = None
    first_frame_seconds: float | None = None
    minimum_cost: MinimumCost | None = None


@dataclass(frozen=True)
class System:
    """Something that is measured: its command, and how its output is read.

    Args:
        baseline: name of the system that its ratios are over; its own where there is none.
        limited: whether the limit, which is CenterFace's in float32, is its limit.
        prepares: its first run fills caches (of networks made ready), so that one is not measured.
    """

    name: str
    baseline: str
    command: Callable[[Case, Path], list[str]]
    read: Callable[[Case, Sequence[Line]], Said]
    limited: bool = False
    prepares: bool = False


@dataclass(frozen=True)
class Usage:
    """What one process used, from its start to its end; see `measured.py`."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_mb: float
    lines: tuple[Line, ...]


def make_systems(
    bench: Bench,
    variants: Sequence[str],
    retinaface_model: Path | None,
    detector_model: Path | None = None,
) -> list[System]:
    """The systems that are compared.

    Args:
        detector_model: weights of the variants' detector, where they are not to be downloaded.

    Raises:
        InvalidInput: there is no such variant.
    """
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        raise InvalidInput(
            f"--variants: {unknown[0]!r} is none.", hint=f"Allowed: {', '.join(VARIANTS)}."
        )
    centerface = ("--detector", "centerface")
    given = () if detector_model is None else ("--detector-model", str(detector_model))
    systems = [
        System("plain", "plain", plain(bench), _read_loop),
        System("product", "plain", product(bench.scratch, *centerface), _read_run, limited=True),
        System(LIMIT, LIMIT, limit(bench), _read_limit),
    ]
    for name in variants:
        command = product(bench.scratch, *centerface, *VARIANTS[name], *given)
        systems.append(System(f"product-{name}", "plain", command, _read_run, prepares=True))
    if retinaface_model is not None:
        own = ("--detector", "retinaface", "--retinaface-model", str(retinaface_model))
        loop, run = plain(bench, retinaface_model), product(bench.scratch, *own)
        systems += [
            System("insightface", "insightface", loop, _read_loop),
            System("product-retinaface", "insightface", run, _read_run, prepares=True),
        ]
    return systems


def measure(system: System, case: Case, video: Path, number: int) -> Measurement:
    """Runs a system once, and measures what it costs.

    Raises:
        RunFailed: it ended with an error, or without a result.
    """
    usage = run_measured(system.command(case, video), system.name)
    said = system.read(case, usage.lines)
    return Measurement(
        case=case,
        system=system.name,
        baseline=system.baseline,
        round=number,
        wall_seconds=usage.wall_seconds,
        cpu_seconds=usage.cpu_seconds,
        peak_rss_mb=usage.peak_rss_mb,
        frames_done=said.frames_done,
        detections=said.detections,
        first_frame_seconds=said.first_frame_seconds,
        minimum_cost=said.minimum_cost,
    )


def clean_environment() -> dict[str, str]:
    """The environment without this product's variables: options come from the command alone."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_OWN_VARIABLES)}
    return same_code(kept)


def run_measured(command: Sequence[str], name: str) -> Usage:
    """Runs a command in a process group of its own, which is killed when this is interrupted."""
    process = subprocess.Popen(
        [*python_module("lab.benchmark.measured"), *command],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    report: dict[str, Any] = {"exit_code": process.returncode}
    if process.returncode == 0:
        report = json.loads(output)
    if report["exit_code"] != 0:
        code = f"Its exit code is {report['exit_code']}."
        why = _error_event(report.get("lines", [])) or (errors.strip().splitlines() or [code])[-1]
        raise RunFailed(f"{name} failed: {why.removeprefix('error: ')}", hint="Nothing was saved.")
    return Usage(
        wall_seconds=report["wall_seconds"],
        cpu_seconds=report["cpu_seconds"],
        peak_rss_mb=report["peak_rss_mb"],
        lines=tuple((seconds, text) for seconds, text in report["lines"]),
    )


def _error_event(lines: Sequence[Line]) -> str | None:
    """What a run that tells events says of its failure, in its last one."""
    try:
        event = json.loads(lines[-1][1])
        return str(event["detail"]) if event["type"] == "error" else None
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def plain(bench: Bench, insightface: Path | None = None) -> Callable[[Case, Path], list[str]]:
    def command(case: Case, video: Path) -> list[str]:
        model = ["--model", str(bench.model if insightface is None else insightface)]
        return [
            *_module("lab.benchmark.plain_loop", video, case.stride),
            *(model if insightface is None else [*model, "--insightface"]),
            *("--det-size", str(DET_SIZE), "--det-thresh", str(bench.config.det_thresh)),
            *("--nms-iou", str(bench.config.nms_iou)),
            *("--out", str(bench.scratch / "plain.jsonl")),
        ]

    return command


def product(data_root: Path, *options: str) -> Callable[[Case, Path], list[str]]:
    """The product's command, as a user would give it.

    The profile has no CPU budget, and `--fps` must not thin out frames. Tracks are not grouped into
    people, which no other system does, unless the options say so.
    """

    def command(case: Case, video: Path) -> list[str]:
        given = {"--device": "cpu", "--det-size": str(DET_SIZE), "--fps": "1000"}
        return [
            *_module(RUN_MODULE, video, case.stride),
            *("--ep-id", EP_ID, "--data-root", str(data_root), "--events", "ndjson"),
            *("--profile", _uncapped_profile(), "--cpu-threads", str(case.threads)),
            *(word for pair in given.items() if pair[0] not in options for word in pair),
            *(() if "--people" in options else ("--no-people",)),
            *options,
        ]

    return command


def _uncapped_profile() -> str:
    """One that sets no CPU budget."""
    profiles = run_defaults().profiles.items()
    return next(name for name, profile in profiles if profile.max_cpu_percent is None)


def limit(bench: Bench) -> Callable[[Case, Path], list[str]]:
    def command(case: Case, video: Path) -> list[str]:
        script = _module("lab.benchmark.limit", video, case.stride)
        sizes = ["--det-size", str(DET_SIZE), "--threads", str(case.threads)]
        return [*script, "--model", str(bench.model), *sizes]

    return command


def _module(name: str, video: Path, stride: int) -> list[str]:
    return [*python_module(name), "--video", str(video), "--stride", str(stride)]


def _read_loop(_: Case, lines: Sequence[Line]) -> Said:
    said = _last(lines)
    return Said(said["frames_done"], said["detections"])


def _read_limit(_: Case, lines: Sequence[Line]) -> Said:
    said = _last(lines)
    decode, inference = said["decode"], said["inference"]
    minimum_cost = MinimumCost(
        decode_cpu=decode["cpu_seconds"],
        decode_wall=decode["wall_seconds"],
        inference_cpu=inference["cpu_seconds"],
        inference_wall=inference["wall_seconds"],
    )
    return Said(said["frames_done"], minimum_cost=minimum_cost)


def _read_run(case: Case, lines: Sequence[Line]) -> Said:
    result = _last(lines)
    if result["cpu_threads"] != case.threads:
        raise InvalidInput(
            f"--threads {case.threads}: this machine gives a run {result['cpu_threads']}.",
            hint="Give no more threads than there are cores.",
        )
    return Said(result["frames_done"], result["detections"], first_frame_seconds(lines))


def _last(lines: Sequence[Line]) -> dict[str, Any]:
    try:
        body = json.loads(lines[-1][1])
    except (IndexError, ValueError):
        raise RunFailed("A process ended without a result.", hint="Nothing was saved.") from None
    return dict(body)


def first_frame_seconds(lines: Sequence[Line]) -> float | None:
    """From the start of a run's process to its first processed frame.

    Events come twice a second, so it is the start of the analysis, which is reported at once, and
    the mean time of a frame until the first event that counts some.
    """
    begun: float | None = None
    for seconds, text in lines:
        event = json.loads(text)
        if event["type"] != "progress":
            continue
        if event["phase"] == "running" and begun is None:
            begun = seconds
        if begun is not None and event["frames_done"] > 0:
            return begun + (seconds - begun) / int(event["frames_done"])
    return None
