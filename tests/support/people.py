"""Runs of people: one of 300 with 5,000 tracks, and one of another episode."""

from __future__ import annotations

import json
from pathlib import Path

from apps.common.contracts.rows import BestFaceRow, PersonRow
from apps.common.layout import Layout
from apps.common.names import person_name
from lab.processes.service import add_episode
from tests.support.odd_data import FPS, HOUR_FRAMES, LONG, TRACKS, write_long_run
from tests.support.people_run import copy_results

PEOPLE = 300


def write_crowd(root: Path, model: Path, video: Path) -> None:
    """The run `LONG`, whose tracks are those of 300 people in turn.

    Args:
        model: folder of a completed run, of which the rest is taken.
        video: any.
    """
    add_episode(root, LONG.ep_id, video)
    write_long_run(root, LONG, model, TRACKS, HOUR_FRAMES)
    files = Layout(root).run(LONG.ep_id, LONG.run_id)
    manifest = json.loads(files.manifest.read_text())
    manifest["result"]["artifacts"].pop("crops", None)  # of the other run
    files.manifest.write_text(json.dumps(manifest))
    tracks = [json.loads(line) for line in files.tracks.read_text().splitlines()]
    rows = []
    for number in range(PEOPLE):
        own = tracks[number::PEOPLE]
        appearances = [(track["start_s"], track["end_s"]) for track in own]
        seconds = sum(end - start for start, end in appearances)
        best = own[0]
        rows.append(
            PersonRow(
                person_id=person_name(number + 1),
                ep_id=LONG.ep_id,
                track_ids=[track["track_id"] for track in own],
                appearances=appearances,
                screen_seconds=round(seconds, 4),
                screen_error_seconds=0.4,
                share=round(seconds / (HOUR_FRAMES / FPS), 5),
                best_faces=[
                    BestFaceRow(
                        track_id=best["track_id"],
                        frame_idx=best["frame_span"][0],
                        ts_s=best["start_s"],
                    )
                ],
                confidence=0.9 + number % 10 / 100,
            ).line()
        )
    files.people.write_text("".join(rows))


def copy_run(root: Path, ep_id: str, run_id: str, to: str) -> None:
    """Makes another episode with the same video and a run with the same results."""
    [video] = (root / "videos" / ep_id).glob("episode.*")
    add_episode(root, to, video)
    copy_results(root, ep_id, run_id, to)
