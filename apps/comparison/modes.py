"""Names of the paths that a comparison measures."""

from __future__ import annotations

BASELINE = "cli"  # always measured: what the others take longer is their overhead
DEFAULT_MODES = ("sse", "local", "redis")
