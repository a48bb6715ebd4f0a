"""Text of strangers does nothing on a terminal."""

from __future__ import annotations

import os

import pytest

from apps.common.terminal import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Café 日本 S01E01.mkv", "Café 日本 S01E01.mkv"),
        ("a\nb\r\t\x1b[2J\x1b]0;title\x07", r"a\nb\r\t\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("\u202egnp.4pm\u2028", r"\u202egnp.4pm\u2028"),
        (os.fsdecode(b"\xff"), r"\udcff"),
        ("", ""),
    ],
)
def test_what_moves_or_colours_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
