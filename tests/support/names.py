"""Names of files, and the names of episodes that are made of them."""

from __future__ import annotations

NAMES_AFTER = {
    "rhobh-s05e02": "rhobh-s05e02",
    "Season 5, Episode 2!": "Season-5-Episode-2",
    "Show.S01E02...final": "Show.S01E02.final",
    "._-leading and trailing-_.": "leading-and-trailing",
    "Café Müller": "Caf-M-ller",
    "第一集": "episode",
    "..": "episode",
    "x" * 140: "x" * 100,
}
