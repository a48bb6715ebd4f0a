"""How the newest run of each episode ended, and whether its result is still that of its video.

Asked again and again, so what has not changed on disk is not read again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from apps.common.contracts.base import Readable
from apps.common.contracts.manifest import ExecutionMode, RunStatus, VideoFile
from apps.common.files import fingerprint_of
from apps.common.layout import Layout
from apps.common.library_schemas import About
from apps.common.names import is_comparison_run
from apps.common.open_result import result_json
from apps.runs.about import read_about
from apps.runs.episodes import list_episodes, video_files
from apps.runs.store import list_runs

# A change within the same tick of the disk's clock as the look before it does not show in times.
_SETTLED_NS = 2_000_000_000
OutcomeName = Literal["never_run", "unfinished", "done", "stale", "failed", "cancelled"]
_STATES: dict[RunStatus, OutcomeName] = {
    "running": "unfinished",
    "completed": "done",
    "cancelled": "cancelled",
    "failed": "failed",
    "interrupted": "failed",
}
_Stamp = tuple[int, int, int, int] | None  # changed, touched (nanoseconds), bytes, inode


@dataclass(frozen=True)
class Outcome:
    """What the disk tells of an episode; runs of comparisons are left out.

    Args:
        state: of the newest run; `unfinished` where its manifest says that it runs.
        run_id: that run.
        latest_run_id: the newest completed one.
        runs: how many there are.
        updated: since when it is so, ISO 8601.
        about: its title, and whether it is pinned.
    """

    state: OutcomeName
    run_id: str | None
    execution_mode: ExecutionMode | None
    latest_run_id: str | None
    runs: int
    updated: str | None
    about: About = field(default_factory=About)


class _Facts(Readable):
    """Of a manifest."""

    ep_id: str
    run_id: str
    execution_mode: ExecutionMode
    status: RunStatus
    started_at: str
    finished_at: str | None = None
    video_file: VideoFile | None = None


class Outcomes:
    """Of all episodes of a data root. For one thread at a time."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._episodes: dict[str, _Episode] = {}

    def look(self) -> dict[str, Outcome]:
        """By episode, in the order of their names."""
        names = list_episodes(self._layout)
        known = self._episodes
        self._episodes = {name: known[name] for name in names if name in known}
        return self.of(names)

    def of(self, names: Iterable[str]) -> dict[str, Outcome]:
        """Of these episodes alone, in this order; no file of another one is looked at."""
        return {name: self._episode(name).look() for name in names}

    def _episode(self, name: str) -> _Episode:
        return self._episodes.setdefault(name, _Episode(self._layout, name))


class _Episode:
    """One episode: what was made of the files that were read, and how these looked then."""

    def __init__(self, layout: Layout, ep_id: str) -> None:
        self._layout = layout
        self._ep_id = ep_id
        self._seen: dict[Path, _Stamp] = {}
        self._is_settled = False
        self._outcome = Outcome("never_run", None, None, None, 0, None)
        self._print: tuple[_Stamp, str] | None = None  # the fingerprint of a video that was so

    def look(self) -> Outcome:
        if not self._is_settled or any(_stamp(path) != was for path, was in self._seen.items()):
            self._seen.clear()
            about = self._layout.about(self._ep_id)
            self._note(about)
            said = read_about(self._layout, about)
            self._outcome = replace(self._read(), about=said)
            newest = max((one[1] for one in self._seen.values() if one is not None), default=0)
            self._is_settled = not 0 <= time.time_ns() - newest < _SETTLED_NS
        return self._outcome

    def _note(self, path: Path) -> _Stamp:
        """How a file looks; to be asked before it is read."""
        self._seen[path] = stamp = _stamp(path)
        return stamp

    def _read(self) -> Outcome:
        layout, ep_id = self._layout, self._ep_id
        folder = layout.episode(ep_id)
        self._note(folder)
        video = next(iter(video_files(folder)), None)
        self._note(layout.runs(ep_id))
        names = [name for name in list_runs(layout, ep_id) if not is_comparison_run(name)]
        newest = next(self._readable(names), None)
        result = self._result(names)
        latest_run_id = None if result is None else result.run_id
        if newest is None:
            since = None if video is None else _time_of(self._note(video))
            return Outcome("never_run", None, None, latest_run_id, len(names), since)
        state, since = _STATES[newest.status], newest.finished_at or newest.started_at
        if state == "done" and result is not None and video is not None:
            stamp = self._note(video)
            if self._is_other(video, stamp, result):
                state, since = "stale", _time_of(stamp) or since
        return Outcome(
            state, newest.run_id, newest.execution_mode, latest_run_id, len(names), since
        )

    def _readable(self, names: Iterable[str]) -> Iterator[_Facts]:
        for name in names:
            facts = self._facts(name)
            if facts is not None:
                yield facts

    def _facts(self, run_id: str) -> _Facts | None:
        """Of a manifest; None where there is none of this run that can be read."""
        path = self._layout.run(self._ep_id, run_id).manifest
        self._note(path)
        body = result_json(self._layout, path)
        try:
            facts = None if body is None else _Facts.model_validate(body)
        except ValidationError:
            return None
        is_its = facts is not None and (facts.ep_id, facts.run_id) == (self._ep_id, run_id)
        return facts if is_its else None

    def _result(self, names: list[str]) -> _Facts | None:
        """The newest completed run: the one that is named so, or else the one that began last."""
        latest = self._layout.latest(self._ep_id)
        self._note(latest)
        named = (result_json(self._layout, latest) or {}).get("run_id")
        first = [named] if named in names else []
        found = self._readable([*first, *names])
        return next((facts for facts in found if facts.status == "completed"), None)

    def _is_other(self, video: Path, stamp: _Stamp, result: _Facts) -> bool:
        """Whether the video is not the one that a result was made of."""
        if stamp is None or result.video_file is None:
            return False
        _, changed_ns, size, _ = stamp
        if size != result.video_file.size_bytes:
            return True
        with suppress(ValueError):
            if changed_ns < datetime.fromisoformat(result.started_at).timestamp() * 1e9:
                return False  # nobody touched it since
        if self._print is None or self._print[0] != stamp:
            try:
                self._print = (stamp, fingerprint_of(video))
            except OSError:
                return False
        return self._print[1] != result.video_file.fingerprint


def _stamp(path: Path) -> _Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116 - Path.stat costs twice as much
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _time_of(stamp: _Stamp) -> str | None:
    """When a file changed last."""
    if stamp is None:
        return None
    return datetime.fromtimestamp(stamp[1] / 1e9, UTC).isoformat(timespec="milliseconds")
