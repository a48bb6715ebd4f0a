"""What was measured of every run, and what it comes to: medians, overheads, doubts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from apps.common.contracts.manifest import RunManifest
from apps.common.schemas import ComparisonSummary, ModeFigures
from apps.comparison.modes import BASELINE
from apps.comparison.runners import ComparisonFailed
from apps.comparison.sampler import Usage

NOT_THE_SAME = "not the same work"


@dataclass(frozen=True)
class Facts:
    """What the run's own manifest tells."""

    options: dict[str, Any]
    sources: dict[str, str]
    provider: str
    source_fingerprint: str
    started_at: str
    elapsed_seconds: float
    frames_done: int
    detections: int
    tracks: int
    analyzed_fps: float
    times: dict[str, float]
    warnings: list[str]

    @classmethod
    def of(cls, manifest: RunManifest) -> Facts:
        """The facts of a completed run.

        Raises:
            ComparisonFailed: the run is not complete.
        """
        result = manifest.result
        if manifest.status != "completed" or result is None:
            reason = manifest.exit_reason or "no reason was given"
            raise ComparisonFailed(f"Run {manifest.run_id} is {manifest.status}: {reason}")
        return cls(
            options=manifest.options.model_dump(mode="json"),
            sources=manifest.sources,
            provider=result.provider,
            source_fingerprint=manifest.versions.get("source_fingerprint", "unknown"),
            started_at=manifest.started_at,
            elapsed_seconds=result.elapsed_seconds,
            frames_done=result.frames_done,
            detections=result.detections,
            tracks=result.tracks,
            analyzed_fps=result.analyzed_fps,
            times=manifest.times,
            warnings=manifest.warnings,
        )


@dataclass(frozen=True)
class Measurement:
    """One run. `wall_seconds` is the client's: from its request to the answer that it has ended."""

    mode: str
    round: int
    run_id: str
    wall_seconds: float
    usage: Usage | None
    facts: Facts


@dataclass(frozen=True)
class Comparison:
    ep_id: str
    url: str
    created_at: str
    cores: int
    repeat: int
    summaries: list[ModeFigures]
    warnings: list[str]
    notes: list[str]
    measurements: list[Measurement]

    @property
    def title(self) -> str:
        return f"{self.ep_id}: execution modes compared, {self.repeat} rounds"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"summaries": [mode.model_dump() for mode in self.summaries]}

    def in_short(self, comparison_id: str) -> ComparisonSummary:
        """What the web service tells of it.

        Args:
            comparison_id: name of its folder.
        """
        return ComparisonSummary.model_validate(self.to_dict() | {"comparison_id": comparison_id})


def summarise(measurements: Sequence[Measurement], modes: Sequence[str]) -> list[ModeFigures]:
    """One summary a mode, in the order of `modes`; the first one is the baseline."""
    of_mode = {mode: [m for m in measurements if m.mode == mode] for mode in modes}
    baseline = statistics.median(m.wall_seconds for m in of_mode[modes[0]])
    return [_summary(mode, runs, baseline) for mode, runs in of_mode.items() if runs]


def _summary(mode: str, runs: list[Measurement], baseline: float) -> ModeFigures:
    wall = statistics.median(run.wall_seconds for run in runs)
    usages = [run.usage for run in runs if run.usage is not None]
    return ModeFigures(
        mode=mode,
        runs=len(runs),
        wall_seconds=round(wall, 3),
        own_seconds=round(statistics.median(run.facts.elapsed_seconds for run in runs), 3),
        overhead_seconds=round(wall - baseline, 3),
        overhead_percent=round(100 * (wall - baseline) / baseline, 1),
        frames_per_second=round(statistics.median(run.facts.analyzed_fps for run in runs), 2),
        mean_percent=_median([usage.mean_percent for usage in usages]),
        peak_percent=_median([usage.peak_percent for usage in usages]),
        cpu_seconds=_median([usage.cpu_seconds for usage in usages]),
        peak_rss_mb=_median([usage.peak_rss_mb for usage in usages]),
        nice=usages[0].nice if usages else None,
        frames_done=runs[0].facts.frames_done,
        tracks=runs[0].facts.tracks,
    )


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 3) if values else None


def differences(measurements: Sequence[Measurement]) -> list[str]:
    """Sentences on what makes the runs not the same work; empty where they are."""
    reference = next(m for m in measurements if m.mode == BASELINE)
    expected = _work(reference.facts)
    found: dict[str, None] = {}  # a set that keeps its order
    for measurement in measurements:
        for name, value in _work(measurement.facts).items():
            if value != expected[name]:
                found[f"{measurement.mode} has {name} {value}, {BASELINE} {expected[name]}"] = None
    return list(found)


def _work(facts: Facts) -> dict[str, Any]:
    return {
        **facts.options,
        "provider": facts.provider,
        "code": facts.source_fingerprint[:12],
        "frames": facts.frames_done,
        "detections": facts.detections,
        "tracks": facts.tracks,
    }


def remarks(summaries: Sequence[ModeFigures]) -> list[str]:
    """Sentences on what explains differences that are there."""
    said = []
    if any(summary.mean_percent is None for summary in summaries):
        said.append("CPU and memory are missing where the run's process could not be seen here.")
    niceness = {summary.mode: summary.nice for summary in summaries if summary.nice is not None}
    if len(set(niceness.values())) > 1:
        shown = ", ".join(f"{mode} {nice}" for mode, nice in niceness.items())
        said.append(
            f"The runs had different priorities (nice: {shown}); beside other work this costs "
            "time. Make them equal with --nice or SCREENALYTICS_LOCAL_NICE."
        )
    return said
