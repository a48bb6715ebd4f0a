"""What decoding fast saves and costs, on a short video."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import decoding

CODECS = ("h264", "mpeg2video")


def test_exact_and_fast_side_by_side(
    tmp_path: Path,
    test_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    video = test_data / "videos" / "carphone_pristine.mp4"
    words = ["decoding", str(video), "--codecs", ",".join(CODECS), "--stride", "30"]
    monkeypatch.setattr("sys.argv", [*words, "--rounds", "1", "--data-root", str(tmp_path)])
    assert decoding.main() == 0
    head, _, *lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[:2] for row in rows] == [[video.stem, codec] for codec in CODECS]
    assert len(head.strip("|").split("|")) == len(rows[0])
    h264, mpeg2 = ([float(cell) for cell in row[2:]] for row in rows)
    assert h264[2] > 0  # without its loop filter
    assert mpeg2[2] == 0  # which has none
    assert (mpeg2[4], mpeg2[5]) == (1, 1)
    assert h264[3] == mpeg2[3] == 4  # a face in each sample


def test_a_codec_that_nothing_encodes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["decoding", "a.mp4", "--codecs", "vp8"])
    with pytest.raises(SystemExit) as refused:
        decoding.main()
    assert refused.value.code == 2
    assert "vp8" in capsys.readouterr().err
