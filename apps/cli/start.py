"""How a process begins that `apps.runs.launch` starts; imported before all heavy modules."""

from __future__ import annotations

from apps.common.lifeline import Lifeline


def started_with_line() -> Lifeline:
    """Ties this process to its launcher, reads its line, and limits what libraries start."""
    lifeline = Lifeline()  # before anything else is imported

    import json

    from apps.common.cpu_limits import apply_global_cpu_limits
    from apps.common.streams import secure_standard_streams

    secure_standard_streams()  # before anything is opened
    apply_global_cpu_limits(json.loads(lifeline.line)["cpu_threads"])  # before numpy is imported
    return lifeline
