"""Which run is shown where nobody asks for one."""

from __future__ import annotations

import pytest

from apps.common.schemas import RunSummary
from apps.ui.parts.run_picker import usual_run


def run(run_id: str, status: str) -> RunSummary:
    return RunSummary(
        run_id=run_id,
        ep_id="show",
        status=status,
        execution_mode="local",
        started_at="2026-11-28T10:00:00Z",
        finished_at=None,
        profile="balanced",
        exit_reason=None,
        frames_done=None,
        tracks=None,
    )


@pytest.mark.parametrize(
    ("runs", "usual"),
    [
        ([], None),
        ([("c", "cancelled"), ("b", "completed"), ("a", "completed")], "b"),
        ([("compare-x-1-sse", "completed"), ("b", "failed"), ("a", "completed")], "a"),
        ([("b", "running"), ("compare-x-1-sse", "completed")], "compare-x-1-sse"),
        ([("b", "cancelled"), ("a", "failed")], "b"),
    ],
)
def test_the_newest_completed_one_that_is_no_comparisons(
    runs: list[tuple[str, str]], usual: str | None
) -> None:
    found = usual_run([run(*one) for one in runs])
    assert (None if found is None else found.run_id) == usual
