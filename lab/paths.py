"""Where the checkout lies, and the data that tests and measurements share."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
SHARED_DATA = CHECKOUT.parent / "shared" / "data"
EVALUATION_DATA = Path("data/evaluation")  # rendered episodes and what was found in them
