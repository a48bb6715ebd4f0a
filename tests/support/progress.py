"""How far a run is, by its file: asking the API every few milliseconds costs more than the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx

from apps.common.layout import Layout
from apps.runs.store import read_progress
from lab.processes.service import wait_for


def under_way(
    data_root: Path,
    ep_id: str,
    run_id: str,
    frames: int = 0,
    answers: Sequence[httpx.Response] = (),
) -> None:
    """Waits until the run works, and has done so many frames.

    Args:
        answers: what has been answered; nothing should be before.
    """
    layout = Layout(data_root)

    def is_on() -> bool:
        assert not answers, answers[0].text
        progress = read_progress(layout, ep_id, run_id)
        if progress is None:
            return False
        return progress.phase == "running" and progress.frames_done >= frames

    wait_for(is_on, 30, what=f"{run_id} of {ep_id} to be under way")
