"""The command that has Ceph beside another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.ceph import main
from lab.processes.ceph import PROGRAMS


def test_where_ceph_is_not_installed_it_is_said_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in PROGRAMS[1:]:
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--", "true"]) == 2
    assert capsys.readouterr().err == f"error: not installed: {PROGRAMS[0]}\n"
