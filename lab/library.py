"""How long the library of an archive takes: made episodes, a real server, and its answers.

`python -m lab.library --episodes 10000`; half of the episodes have a run, all a title. Figures are
the wall clock of a client on the same machine, and CPU time of the server; quiet machines only tell
the first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from apps.common.files import write_json
from apps.common.layout import Layout
from apps.results.library_known import KnownVideo
from apps.results.library_memory import Memory
from apps.runs.record import RunRecord
from lab.processes.service import Server, serving
from lab.specs import spec_of

_NO_REDIS = "redis://127.0.0.1:9/0"
_VIDEO = b"no video, but a file of some size" * 4
_QUIET_CPU_S, _LOOK_S, _PATIENCE_S = 0.02, 0.5, 60.0


@dataclass(frozen=True)
class Took:
    """Seconds of some answers to one question."""

    what: str
    first: float
    median: float
    best: float
    cpu_median: float


def make_archive(root: Path, episodes: int) -> None:
    """Episodes in seasons of 24, of which every other one was run."""
    layout, manifest = Layout(root), _manifest(root)
    began = time.time() - 3600
    for number in range(episodes):
        ep_id = f"show-s{number // 24 + 1:03d}e{number % 24 + 1:02d}"
        folder = layout.episode(ep_id)
        folder.mkdir(parents=True)
        video = folder / "episode.mp4"
        video.write_bytes(_VIDEO)
        os.utime(video, (began, began))  # nobody is writing to it
        write_json(layout.about(ep_id), {"title": f"Episode {number}", "pinned": False})
        if number % 2 == 0:
            run = layout.run(ep_id, "run-1")
            run.folder.mkdir(parents=True)
            run.manifest.write_text(manifest.replace('"any"', f'"{ep_id}"'))
            run.tracks.write_bytes(b"{}\n")
    _remember_videos(layout)


def _manifest(root: Path) -> str:
    """Of a run that has ended; of an episode that is called `any`."""
    with tempfile.TemporaryDirectory() as folder:
        spec = spec_of(Path(folder), "any", "run-1")
        record = RunRecord(Layout(Path(folder)), spec, {})
        record.end("cancelled", "It was made.")
        return record.files.manifest.read_text().replace(folder, str(root))


def _remember_videos(layout: Layout) -> None:
    """As if somebody had looked at all of them: no decoder is started meanwhile."""
    memory = Memory(layout)
    memory.begin()
    for folder in layout.videos.iterdir():
        facts = (folder / "episode.mp4").stat()
        state = f"{facts.st_size}-{facts.st_mtime_ns}"
        known = KnownVideo(state=state, duration_s=2580.0, width=1920, height=1080)
        memory.remember_video(folder.name, known)
    memory.end()


def measure(root: Path, times: int) -> list[Took]:
    """Asks a new server, and one that was started again."""
    found = []
    for name in ("new", "started again"):
        with serving(root, SCREENALYTICS_REDIS_URL=_NO_REDIS) as server:
            _wait_until_quiet(server)
            found.append(_ask(server, f"list, server {name}", times, limit=200))
            if name == "started again":
                found.append(_ask(server, "filter", times, q="s01", limit=200, sort="title"))
                found.append(_ask(server, "by size", times, limit=200, sort="disk"))
                found.append(_ask(server, "a later page", times, limit=200, offset=5000))
    return found


def _ask(server: Server, what: str, times: int, **query: str | int) -> Took:
    walls, cpus = [], []
    for _ in range(times):
        cpu, began = server.cpu_seconds(), time.perf_counter()
        server.client.get("/library", params=query).raise_for_status()
        walls.append(time.perf_counter() - began)
        cpus.append(server.cpu_seconds() - cpu)
    later = walls[1:] or walls
    return Took(
        what, walls[0], statistics.median(later), min(later), statistics.median(cpus[1:] or cpus)
    )


def _wait_until_quiet(server: Server) -> None:
    """Until what a server does when it starts is done: it looks for what was left behind."""
    ends, before = time.monotonic() + _PATIENCE_S, -1.0
    while time.monotonic() < ends and server.cpu_seconds() - before > _QUIET_CPU_S:
        before = server.cpu_seconds()
        time.sleep(_LOOK_S)


def main(arguments: Sequence[str] | None = None, say: Callable[[str], None] = print) -> int:
    parser = argparse.ArgumentParser(description="How long the library of an archive takes.")
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=6, help="that each question is asked")
    parser.add_argument("--folder", type=Path, help="for the archive; else a temporary one")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        root = Path(folder) / "data"
        make_archive(root, asked.episodes)
        found = measure(root, asked.times)
    say(f"{asked.episodes} episodes{'':21}  first  median    best  CPU of the server, seconds")
    for one in found:
        say(
            f"{one.what:36} {one.first:6.2f}  {one.median:6.2f}  {one.best:6.2f}  "
            f"{one.cpu_median:6.2f}"
        )
    say(json.dumps([asdict(one) for one in found]))
    return 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
