"""Who a run's people are."""

from __future__ import annotations

from apps.common.contracts.rows import PersonRow
from apps.common.layout import Layout
from apps.people.corrected import corrected_people


def people_of(layout: Layout, ep_id: str, run_id: str) -> list[PersonRow]:
    """All people of a run as they were corrected, hidden ones as well.

    Args:
        run_id: its name, not `latest`.

    Raises:
        RunNotFound: its tracks were not grouped into people.
        CorrectionsUnreadable: a later version has written the log.
    """
    return corrected_people(layout, ep_id, run_id).rows
