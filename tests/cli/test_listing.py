"""`screenalytics list`: what there is, without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.cli import listing
from apps.common.layout import Layout
from apps.common.options import RunRequest
from apps.common.resolve import resolve
from apps.runs.record import RunRecord
from lab.specs import SMALL_HOST, spec_of


def add_run(root: Path, ep_id: str, run_id: str, *, ends: bool = True) -> None:
    record = RunRecord(Layout(root), spec_of(root, ep_id, run_id), {})
    if ends:
        record.end("completed", "All frames were processed.")


def said(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *asked: str
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["screenalytics list", *asked, "--data-root", str(root)])
    code = listing.main()
    streams = capsys.readouterr()
    return code, streams.out, streams.err


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for ep_id in ("news-s01e01", "talk"):
        video = tmp_path / "videos" / ep_id / "episode.mkv"
        video.parent.mkdir(parents=True)
        video.write_bytes(b"video")
    add_run(tmp_path, "talk", "one")
    add_run(tmp_path, "talk", "two", ends=False)
    add_run(tmp_path, "video-is-gone", "old")
    return tmp_path


def test_episodes_with_their_newest_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said(root, monkeypatch, capsys)
    title, *rows = out.splitlines()
    assert code == 0
    assert title.split()[:3] == ["EPISODE", "VIDEO", "RUNS"]
    assert [row.split()[:4] for row in rows] == [
        ["news-s01e01", "episode.mkv", "0", "-"],
        ["talk", "episode.mkv", "2", "interrupted"],
        ["video-is-gone", "none", "1", "completed"],
    ]
    starts = {row.index(row.split()[1]) for row in [title, *rows]}
    assert len(starts) == 1, "columns do not stand below each other"


def test_runs_of_an_episode_for_people_and_programs(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = said(root, monkeypatch, capsys, "talk")
    assert [row.split()[:2] for row in out.splitlines()[1:]] == [
        ["two", "interrupted"],
        ["one", "completed"],
    ]
    _, out, _ = said(root, monkeypatch, capsys, "talk", "--json")
    runs = [json.loads(line) for line in out.splitlines()]
    assert [run["run_id"] for run in runs] == ["two", "one"]
    assert runs[1]["people"] is None
    assert runs[1]["profile"] == resolve(RunRequest(device="cpu"), {}, SMALL_HOST).options.profile


def test_where_there_is_nothing_it_is_said_how_there_will_be(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = said(tmp_path / "empty", monkeypatch, capsys)
    assert (code, "screenalytics run --video" in out) == (0, True)
    code, out, _ = said(root, monkeypatch, capsys, "news-s01e01")
    assert (code, "screenalytics run --ep-id news-s01e01" in out) == (0, True)
    code, out, err = said(root, monkeypatch, capsys, "nobody")
    assert (code, out) == (3, "")
    assert "does not exist" in err
    code, _, err = said(root, monkeypatch, capsys, "../../etc/passwd")
    assert code == 2
    assert "not a valid ep_id" in err
