"""Parts that a run is put together from, and the figures of the whole."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from apps.common.contracts.manifest import CpuFigures, PartFacts
from apps.common.contracts.parts import MadePart, MadeParts
from apps.pipeline.decode.container import identified
from apps.pipeline.decode.video import KnownVideo
from apps.pipeline.parts.known_video import read_known
from apps.runs.spec import JoinSpec, RunSpec


class JoinedParts:
    """The parts of a run; none of one that is done as a whole.

    Args:
        made: in their order.
        since: when the first one was begun, seconds since 1970; None where nobody knows.
        known: file of what is known of the video; None where there is none.
    """

    def __init__(
        self, made: Sequence[MadePart], since: float | None, known: str | None = None
    ) -> None:
        self._made = made
        self._since = since
        self._known = known

    @classmethod
    def of(cls, spec: RunSpec, paths: Sequence[Path]) -> JoinedParts:
        """Those that the launcher names, or else the command line.

        Args:
            paths: of the command line.
        """
        made: MadeParts | None = spec.made if isinstance(spec, JoinSpec) else None
        if made is not None:
            return cls(made.parts, made.since, made.known)
        return cls([MadePart(path=str(path)) for path in paths], None)

    @property
    def paths(self) -> list[Path]:
        return [Path(part.path) for part in self._made]

    def known_of(self, video: Path) -> KnownVideo | None:
        """What is known of the run's video; None where that is to be found out."""
        if self._known is None:
            return None
        note = read_known(Path(self._known))
        return note.known if note is not None and note.file == identified(video) else None

    @property
    def started_at(self) -> str | None:
        """When the first part was begun; None where nobody knows."""
        if self._since is None:
            return None
        return datetime.fromtimestamp(self._since, UTC).isoformat(timespec="milliseconds")

    def told(self, parts: Sequence[PartFacts]) -> list[PartFacts]:
        """The same facts, with who made each.

        Args:
            parts: as their files tell them.
        """
        return [
            facts.model_copy(update={"worker": made.worker, "attempts": made.attempts})
            for facts, made in zip(parts, self._made, strict=True)
        ]

    def elapsed(self, own_s: float) -> float:
        """Seconds that the whole run took.

        Args:
            own_s: that putting it together took.
        """
        return own_s if self._since is None else max(own_s, time.time() - self._since)

    def rate(self, own_rate: float, frames: int, elapsed_s: float) -> float:
        """Processed frames a second of the whole run.

        Args:
            own_rate: of this process.
        """
        return own_rate if self._since is None else round(frames / max(elapsed_s, 1e-6), 2)

    def cpu(self, own: CpuFigures, own_s: float, parts: Sequence[PartFacts]) -> CpuFigures:
        """CPU of all processes together; percents are those of one process, as its budget is.

        Args:
            own: of putting it together.
            own_s: seconds that this took.
            parts: what each of them took.
        """
        if not parts:
            return own
        seconds = own.seconds + sum(part.cpu_seconds for part in parts)
        worked_s = own_s + sum(part.seconds for part in parts)
        return CpuFigures(
            peak_percent=max(own.peak_percent, *(part.cpu_peak_percent for part in parts)),
            mean_percent=round(100 * seconds / max(worked_s, 1e-6), 1),
            seconds=round(seconds, 3),
            waited_seconds=own.waited_seconds,
        )
