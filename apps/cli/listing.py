"""`screenalytics list [EPISODE]`: the episodes that there are, or the runs of one."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.common.errors import ScreenalyticsError

if TYPE_CHECKING:
    from apps.common.contracts.manifest import RunManifest
    from apps.common.layout import Layout

_Cells = tuple[str, ...]
_EPISODE: _Cells = ("EPISODE", "VIDEO", "RUNS", "NEWEST RUN", "", "TRACKS", "PEOPLE")
_RUN: _Cells = (
    "RUN",
    "",
    "BEGUN",
    "PROFILE",
    "STRIDE",
    "FRAMES",
    "TRACKS",
    "PEOPLE",
    "SECONDS",
)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        description="Lists the episodes that there are, or the runs of one, newest first."
    )
    p.add_argument("ep_id", nargs="?", metavar="EPISODE", help="whose runs are listed")
    p.add_argument("--json", action="store_true", help="as JSON, one object a line")
    p.add_argument("--data-root", type=Path, metavar="DIR", help="folder of videos and results")
    return p


def main() -> int:
    arguments = parser().parse_args()

    from apps.objects.open import layout_at

    try:
        layout = layout_at(arguments.data_root)
        of_one = arguments.ep_id is not None
        found = _runs(layout, arguments.ep_id) if of_one else _episodes(layout)
    except ScreenalyticsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    if arguments.json:
        for item in found:
            print(json.dumps(item))
    elif found:
        _print_table([_RUN if of_one else _EPISODE, *(_words(item) for item in found)])
    elif of_one:
        print(f"No run yet: screenalytics run --ep-id {arguments.ep_id}")
    else:
        print("There are no episodes yet: screenalytics run --video FILE --ep-id NAME makes one.")
    return 0


def _episodes(layout: Layout) -> list[dict[str, Any]]:
    from apps.common.remote import noted_video
    from apps.runs.episodes import list_episodes, video_files
    from apps.runs.store import list_runs, read_runs

    found = []
    for ep_id in list_episodes(layout):
        names = list_runs(layout, ep_id)
        newest = next(read_runs(layout, ep_id, names), None)
        here = video_files(layout.episode(ep_id))
        noted = None if here else noted_video(layout.remote_video(ep_id))
        video = here[0].name if here else None if noted is None else "in the storage"
        run = None if newest is None else _about(newest)
        found.append({"ep_id": ep_id, "video": video, "runs": len(names), "newest_run": run})
    return found


def _runs(layout: Layout, ep_id: str) -> list[dict[str, Any]]:
    """Of one episode.

    Raises:
        InvalidInput: it is no name.
        EpisodeNotFound: there is no such episode.
    """
    from apps.runs.episodes import check_episode
    from apps.runs.store import list_runs, read_runs

    check_episode(layout, ep_id)
    return [_about(run) for run in read_runs(layout, ep_id, list_runs(layout, ep_id))]


def _about(run: RunManifest) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "status": run.status,
        "started_at": run.started_at,
        "profile": run.options.profile,
        "stride": run.effective_stride,
        "frames": run.counts.get("frames_done"),
        "tracks": run.counts.get("tracks"),
        "people": None if run.people is None else run.people.people,
        "seconds": None if run.result is None else run.result.elapsed_seconds,
    }


def _words(item: dict[str, Any]) -> _Cells:
    if "ep_id" not in item:
        return tuple(map(_word, item.values()))
    run = item["newest_run"] or dict.fromkeys(("status", "started_at", "tracks", "people"))
    told = (run["status"], run["started_at"], run["tracks"], run["people"])
    return item["ep_id"], item["video"] or "none", str(item["runs"]), *map(_word, told)


def _word(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, str) and value[10:11] == "T":
        return f"{datetime.fromisoformat(value).astimezone():%Y-%m-%d %H:%M}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _print_table(rows: list[_Cells]) -> None:
    from apps.common.terminal import printable

    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print(printable("  ".join(cells).rstrip()))


if __name__ == "__main__":
    sys.exit(main())
