"""Colours of tracks: seen in both themes, the same for a number everywhere."""

from __future__ import annotations

import tomllib

import pytest

from apps.ui.parts.palette import COLOURS
from lab.paths import CHECKOUT

THEME = tomllib.loads((CHECKOUT / "apps" / "ui" / ".streamlit" / "config.toml").read_text())[
    "theme"
]


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2)."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["backgroundColor", "secondaryBackgroundColor"])
def test_each_is_seen_on_each_background(theme: str, ground: str) -> None:
    background = THEME[theme][ground]
    assert min(contrast(colour, background) for colour in COLOURS) >= 3
    # The playhead, the range and what has the focus.
    assert contrast(THEME["primaryColor"], background) >= 3


def test_neighbours_have_different_colours() -> None:
    assert len(set(COLOURS)) == len(COLOURS)
