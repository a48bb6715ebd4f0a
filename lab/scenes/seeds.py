"""The sets of evaluation episodes, apart from what it takes to make them."""

from __future__ import annotations

SEEDS = {"tuning": (8, 101, 202, 303), "heldout": (1972, 2026)}
"""The two sets by name; a take of every recipe for each seed."""
