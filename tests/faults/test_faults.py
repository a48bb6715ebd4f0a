"""Each fault once; docs/reliability.md has the figures of many."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from lab.faults.catalogue import FAULTS
from lab.faults.evidence import evidence
from lab.faults.scenarios import stack


@pytest.mark.trap(5, 6, 13, 25, 32, 33, 34)
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_nothing_is_doubled_and_nothing_is_left(
    name: str, tmp_path: Path, test_data: Path
) -> None:
    video = test_data / "videos" / "short_hamilton_clip.mp4"
    with stack(tmp_path, video, seed=zlib.crc32(name.encode())) as running:
        trial = FAULTS[name](running)
    assert trial.is_clean, f"{trial}\n{evidence(tmp_path)}"
    assert trial.completed >= 1, f"{trial}\n{evidence(tmp_path)}"


def test_a_trial_that_is_not_clean_says_what_happened(tmp_path: Path, test_data: Path) -> None:
    video = test_data / "videos" / "short_hamilton_clip.mp4"
    with stack(tmp_path, video, seed=0) as running:
        trial = FAULTS["two_at_once"](running)
    told = evidence(tmp_path)
    assert trial.is_clean, told
    for telling in ("--- answers.txt", "local: asked", "job: {", "run.json", "run.log", "worker-"):
        assert telling in told
    assert '"status": "completed"' in told
