"""Which run is shown where nobody asks for one."""

from __future__ import annotations

import pytest

from apps.common.names import is_comparison_run
from apps.common.schemas import RunSummary
from apps.ui.parts.run_picker import usual_run

COMPARED = "compare-20261128T101500-a1b2c3-1-sse"


def run(run_id: str, status: str) -> RunSummary:
    return RunSummary(
        run_id=run_id,
        ep_id="show",
        status=status,
        execution_mode="local",
        of_comparison=is_comparison_run(run_id),
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
        (
            [
                (COMPARED, "completed"),
                ("b", "failed"),
                ("a", "completed"),
            ],
            "a",
        ),
        (
            [("b", "running"), (COMPARED, "completed")],
            COMPARED,
        ),
        ([("b", "cancelled"), ("a", "failed")], "b"),
    ],
)
def test_the_newest_completed_one_that_is_no_comparisons(
    runs: list[tuple[str, str]], usual: str | None
) -> None:
    found = usual_run([run(*one) for one in runs])
    assert (None if found is None else found.run_id) == usual
