"""The lab's figures of a large library, made small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.library import main


@pytest.mark.slow
def test_the_command_says_how_long_answers_took(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--episodes", "50", "--times", "2", "--folder", str(tmp_path)]) == 0
    words, _, body = capsys.readouterr().out.strip().rpartition("\n")
    assert words.startswith("50 episodes")
    names = [one["what"] for one in json.loads(body)]
    assert names == [
        "list, server new",
        "list, server started again",
        "filter",
        "by size",
        "a later page",
    ]
    assert list(tmp_path.iterdir()) == []
