"""Each fault once; docs/reliability.md has the figures of many."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.faults.catalogue import FAULTS
from lab.faults.evidence import evidence
from lab.faults.scenarios import Stack, Trial, shared_stack

Tried = Callable[[str], tuple[Trial, str]]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Tried]:
    """Tries a fault once: what became of it, and what was recorded of it.

    Servers that it leaves alive serve the next one, unless it was not clean.
    """
    video = test_data / "videos" / "carphone_pristine.mp4"
    known: dict[str, tuple[Trial, str]] = {}
    opened: list[tuple[Path, Callable[[str, int], Stack]]] = []

    def once(name: str) -> tuple[Trial, str]:
        if name in known:
            return known[name]
        if not opened:
            new = tmp_path_factory.mktemp("faults")
            opened.append((new, closing.enter_context(shared_stack(new, video))))
        folder, of_trial = opened[0]
        since = time.time()
        trial = Trial(lost=1)
        try:
            trial = FAULTS[name](of_trial(name, zlib.crc32(name.encode())))
        finally:
            known[name] = (trial, evidence(folder, since))
            if not trial.is_clean:
                opened.clear()
                closing.close()
        return known[name]

    with ExitStack() as closing:
        yield once


@pytest.mark.trap(5, 6, 13, 25, 32, 33, 34)
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_nothing_is_doubled_and_nothing_is_left(name: str, tried: Tried) -> None:
    trial, record = tried(name)
    assert trial.is_clean, f"{trial}\n{record}"
    assert trial.completed >= 1, f"{trial}\n{record}"


def test_a_trial_that_is_not_clean_says_what_happened(tried: Tried) -> None:
    """The words that are kept of any trial, here of a clean one."""
    trial, record = tried("two_at_once")
    assert trial.is_clean, record
    for part in ("--- answers.txt", "local: asked", "job: {", "run.json", "run.log", "worker-"):
        assert part in record
    assert '"status": "completed"' in record
