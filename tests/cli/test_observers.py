"""What a run tells on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.cli.observers import TerminalView
from apps.common.errors import PartDamaged


def test_words_of_strangers_do_nothing_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part's file brings warnings with it, and a video's file its name."""
    view = TerminalView(tmp_path)
    view.log("warning", "\x1b]0;title\x07\nerror: none")
    view.error(PartDamaged("episode.\x1b[2Jmp4 is cut off."))
    assert capsys.readouterr().err.splitlines() == [
        r"warning: \x1b]0;title\x07\nerror: none",
        r"error: episode.\x1b[2Jmp4 is cut off.",
    ]
