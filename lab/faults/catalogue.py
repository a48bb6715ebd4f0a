"""All faults, by their names."""

from __future__ import annotations

from collections.abc import Callable

from lab.faults import part_scenarios, process_scenarios, scenarios, storage_scenarios
from lab.faults.scenarios import Stack, Trial

FAULTS: dict[str, Callable[[Stack], Trial]] = {
    **scenarios.FAULTS,
    **process_scenarios.FAULTS,
    **part_scenarios.FAULTS,
    **storage_scenarios.FAULTS,
}
