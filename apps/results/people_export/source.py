"""Who a run's people are."""

from __future__ import annotations

from apps.common.contracts.rows import PersonRow, read_rows
from apps.common.layout import Layout
from apps.results.files import result_file

NO_PEOPLE = "The run's tracks were not grouped into people."
ASK_FOR_PEOPLE = "Run with the option people."


def people_of(layout: Layout, ep_id: str, run_id: str) -> list[PersonRow]:
    """All people of a run, hidden ones as well.

    Args:
        run_id: its name, not `latest`.

    Raises:
        RunNotFound: its tracks were not grouped into people.
    """
    path = result_file(layout, layout.run(ep_id, run_id).people, NO_PEOPLE, hint=ASK_FOR_PEOPLE)
    return [row for row in read_rows(path, PersonRow) if row is not None]
