"""Runs as they are asked for on a small host: two cores, the CPU alone, the embedded detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.common.contracts.manifest import ExecutionMode
from apps.common.options import RunRequest
from apps.common.resolve import HostFacts, resolve
from apps.runs.spec import RunSpec

SMALL_HOST = HostFacts(("CPUExecutionProvider",), frozenset({"centerface"}), thread_limit=2)


def spec_of(
    data_root: Path,
    ep_id: str,
    run_id: str,
    *,
    mode: ExecutionMode = "local",
    host: HostFacts = SMALL_HOST,
    **options: Any,
) -> RunSpec:
    """A run as it is resolved on a host.

    Args:
        data_root, ep_id, run_id, mode: see `RunSpec`.
        host: where it is to run.
        options: see `RunRequest`; the device is the CPU unless they say otherwise.
    """
    return RunSpec(
        ep_id=ep_id,
        run_id=run_id,
        execution_mode=mode,
        resolution=resolve(RunRequest(**{"device": "cpu", **options}), {}, host),
        data_root=str(data_root),
    )
