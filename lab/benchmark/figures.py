"""What was measured, and what it comes to: medians a processed frame, ratios, targets."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LIMIT = "limit"
TARGET_FRAMES = 2000  # the targets are for videos of at least this length


@dataclass(frozen=True, order=True)
class Case:
    """One amount of work that all systems do.

    Args:
        height: rows of the video's picture, pixels.
        stride: every n-th frame is processed.
        threads: compute threads that the product may use.
        codec: of the video.
    """

    height: int
    stride: int
    threads: int
    codec: str = "h264"

    @property
    def title(self) -> str:
        codec = "" if self.codec == "h264" else f"{self.codec}, "
        return f"{codec}{self.height}p, stride {self.stride}, {_counted(self.threads, 'thread')}"


@dataclass(frozen=True)
class MinimumCost:
    """What cannot be avoided, CPU and wall clock in seconds for all processed frames together."""

    decode_cpu: float
    decode_wall: float
    inference_cpu: float
    inference_wall: float


@dataclass(frozen=True)
class Measurement:
    """One process, from outside.

    Args:
        baseline: name of the system that its ratios are over.
        first_frame_seconds: from the start of the process to its first processed frame; None for
            systems that do not report it.
        detections: None for the limit, which looks for nothing.
        minimum_cost: what the system `limit` measured; None for all others.
    """

    case: Case
    system: str
    baseline: str
    round: int
    wall_seconds: float
    cpu_seconds: float
    peak_rss_mb: float
    frames_done: int
    detections: int | None = None
    first_frame_seconds: float | None = None
    minimum_cost: MinimumCost | None = None


@dataclass(frozen=True)
class Limit:
    """Medians, milliseconds a processed frame. Bounds are made from CPU: it is less noisy."""

    decode_cpu_ms: float
    decode_wall_ms: float
    inference_cpu_ms: float
    inference_wall_ms: float

    @property
    def cpu_ms(self) -> float:
        return self.decode_cpu_ms + self.inference_cpu_ms

    @property
    def core_share(self) -> float:
        """How much of a core each of its threads got, 0..1: the rest went to other programs."""
        return min(1.0, self.cpu_ms / (self.decode_wall_ms + self.inference_wall_ms))

    def wall_ms(self, threads: int) -> float:
        """No schedule of that many threads is faster, where inferences follow each other."""
        if threads == 1:
            return self.cpu_ms
        return max(self.decode_cpu_ms, self.inference_cpu_ms, self.cpu_ms / threads)


@dataclass(frozen=True)
class Row:
    """Medians of one system in one case. Ratios are of medians; None where there is no other."""

    case: Case
    system: str
    runs: int
    frames_done: int
    detections: int | None
    wall_ms: float
    cpu_ms: float
    wall_ratio: float | None
    cpu_ratio: float | None
    wall_over_limit: float | None
    cpu_over_limit: float | None
    peak_rss_mb: float
    first_frame_seconds: float | None


@dataclass(frozen=True)
class Start:
    """Start of the product's process to its first processed frame, on the short video, seconds.

    Args:
        cold: with an empty data root: the network is prepared first.
        warm: once more with the same data root.
    """

    cold_seconds: float
    warm_seconds: float


@dataclass(frozen=True)
class Target:
    """A figure to reach.

    Args:
        figure: a field of `Row`.
        max_value: up to which it is reached, in the unit of that field.
        stride, threads, height: where it applies; None is everywhere.
    """

    system: str
    figure: str
    max_value: float
    stride: int | None = 6
    threads: int | None = 2
    height: int | None = 1080

    def applies_to(self, row: Row) -> bool:
        asked = (self.system, self.stride, self.threads, self.height)
        given = (row.system, row.case.stride, row.case.threads, row.case.height)
        return all(a is None or a == g for a, g in zip(asked, given, strict=True))


@dataclass(frozen=True)
class Verdict:
    case: Case
    system: str
    figure: str
    value: float
    max_value: float
    met: bool


TARGETS = (
    Target("product", "cpu_ratio", 0.50),
    Target("product", "wall_ratio", 0.55),
    Target("product", "cpu_over_limit", 1.12),
    Target("product", "wall_over_limit", 1.15),
    Target("product", "wall_over_limit", 1.12, threads=1),
    Target("product", "peak_rss_mb", 450, stride=None, threads=None),
    Target("product", "first_frame_seconds", 1.5, stride=None, threads=None),
    Target("product-int8", "cpu_ratio", 0.42),
    Target("product-int8", "wall_ratio", 0.48),
    Target("product-openvino-int8", "cpu_ratio", 0.38),
)


@dataclass(frozen=True)
class Benchmark:
    """All of one call of `lab.bench`.

    Args:
        load_before, load_after: mean number of running processes of the machine, over a minute.
        warnings: what makes the systems not the same work.
    """

    video: str
    frames: int
    created_at: str
    machine: dict[str, str]
    rounds: int
    load_before: float
    load_after: float
    start: Start | None
    rows: list[Row]
    limits: list[tuple[Case, Limit]]
    verdicts: list[Verdict]
    warnings: list[str]
    notes: list[str]
    measurements: list[Measurement]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def limits_of(measurements: Sequence[Measurement]) -> dict[Case, Limit]:
    """The limit of each case that it was measured in."""
    found = {}
    for case in _cases(measurements):
        costs = [
            (m.minimum_cost, m.frames_done)
            for m in measurements
            if m.case == case and m.minimum_cost is not None
        ]
        if costs:
            found[case] = Limit(
                decode_cpu_ms=_median_ms([(w.decode_cpu, n) for w, n in costs]),
                decode_wall_ms=_median_ms([(w.decode_wall, n) for w, n in costs]),
                inference_cpu_ms=_median_ms([(w.inference_cpu, n) for w, n in costs]),
                inference_wall_ms=_median_ms([(w.inference_wall, n) for w, n in costs]),
            )
    return found


def summarise(
    measurements: Sequence[Measurement], limits: dict[Case, Limit], limited: Sequence[str]
) -> list[Row]:
    """A row for each system in each case, the limit not among them.

    A system that could do nothing has none: OpenCV's wheel, and with it the plain loop, knows no
    AV1. `differences` tells of it.

    Args:
        limited: systems that the limit is the limit of: with its network, in its precision.
    """
    rows = []
    able = [m for m in measurements if m.frames_done > 0]
    for runs in _groups(able):
        first = runs[0]
        others = [m for m in able if (m.case, m.system) == (first.case, first.baseline)]
        limit = limits.get(first.case) if first.system in limited else None
        rows.append(_row(runs, [] if first.system == first.baseline else others, limit))
    return rows


def _row(runs: list[Measurement], others: list[Measurement], limit: Limit | None) -> Row:
    case, wall, cpu = runs[0].case, _wall_ms(runs), _cpu_ms(runs)
    starts = [m.first_frame_seconds for m in runs if m.first_frame_seconds is not None]
    return Row(
        case=case,
        system=runs[0].system,
        runs=len(runs),
        frames_done=runs[0].frames_done,
        detections=runs[0].detections,
        wall_ms=wall,
        cpu_ms=cpu,
        wall_ratio=wall / _wall_ms(others) if others else None,
        cpu_ratio=cpu / _cpu_ms(others) if others else None,
        wall_over_limit=wall / limit.wall_ms(case.threads) if limit is not None else None,
        cpu_over_limit=cpu / limit.cpu_ms if limit is not None else None,
        peak_rss_mb=statistics.median(m.peak_rss_mb for m in runs),
        first_frame_seconds=statistics.median(starts) if starts else None,
    )


def judge(rows: Sequence[Row], targets: Sequence[Target] = TARGETS) -> list[Verdict]:
    """Every target in every row that it applies to and that has its figure."""
    return [
        Verdict(
            row.case, row.system, target.figure, value, target.max_value, value <= target.max_value
        )
        for row in rows
        for target in targets
        if target.applies_to(row) and (value := getattr(row, target.figure)) is not None
    ]


def differences(measurements: Sequence[Measurement]) -> list[str]:
    """Sentences on systems that did not process the same frames; empty where all is well."""
    said: dict[str, None] = {}  # a set that keeps its order
    for case in _cases(measurements):
        runs = [m for m in measurements if m.case == case]
        for run in runs:
            if run.frames_done != runs[0].frames_done:
                said[
                    f"{case.title}: {run.system} processed {run.frames_done} frames, "
                    f"{runs[0].system} {runs[0].frames_done}"
                ] = None
        for system in dict.fromkeys(run.system for run in runs):
            found = {run.detections for run in runs if run.system == system}
            if len(found) > 1:
                said[f"{case.title}: {system} did not find the same faces in every round"] = None
    return list(said)


def _cases(measurements: Sequence[Measurement]) -> list[Case]:
    return sorted({m.case for m in measurements})


def _groups(measurements: Sequence[Measurement]) -> Iterator[list[Measurement]]:
    for case in _cases(measurements):
        of_case = [m for m in measurements if m.case == case and m.system != LIMIT]
        for system in dict.fromkeys(m.system for m in of_case):
            yield [m for m in of_case if m.system == system]


def _wall_ms(runs: Sequence[Measurement]) -> float:
    return _median_ms([(run.wall_seconds, run.frames_done) for run in runs])


def _cpu_ms(runs: Sequence[Measurement]) -> float:
    return _median_ms([(run.cpu_seconds, run.frames_done) for run in runs])


def _median_ms(seconds_and_frames: Sequence[tuple[float, int]]) -> float:
    return statistics.median(1000 * seconds / frames for seconds, frames in seconds_and_frames)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
