"""A run in parts from the command line: every file is the same, to the byte, as of a whole run."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest

from apps.common.files import read_json
from apps.common.layout import Layout
from apps.pipeline.decode.video import open_video
from apps.pipeline.frame_features import Glimpse
from apps.pipeline.parts import asked
from apps.pipeline.parts.plan import spans
from apps.pipeline.parts.records import read_record, write_record
from lab.parts import results
from lab.processes.service import (
    add_episode,
    clean_environment,
    cli_command,
    exit_code,
    run_cli,
    wait_for,
)
from tests.pipeline.videos import Image, Recipe, moving, write_video

SMALL = ("--device", "cpu", "--det-size", "320", "--profile", "performance", "--detector")
VP9 = Recipe("libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "g": "40"})
MPEG2 = Recipe(
    "mpeg2video",
    options={"flags": "+cgop", "bf": "2", "g": "30", "b": "6M", "sc_threshold": "1000000000"},
)
HEVC = Recipe(
    "libx265",
    options={"preset": "ultrafast", "x265-params": "log-level=none:open-gop=0:keyint=40"},
)
ENDINGS = {"libvpx-vp9": "webm", "mpeg2video": "mpg", "libx265": "mp4"}


@dataclass(frozen=True)
class Runs:
    """Of one episode, from the command line.

    Args:
        arguments: those of all its runs.
    """

    root: Path
    arguments: tuple[str, ...]

    def whole(self, run_id: str, *more: str) -> dict[str, bytes]:
        """The results of a run, by name."""
        ended = run_cli(self.root, *self._named(run_id), *more)
        assert ended.returncode == 0, ended.stderr
        return results(self.root, run_id)

    def part(self, number: int, count: int, *more: str) -> Path:
        path = self.root / f"{number}-of-{count}.part"
        ended = self.asked_part(number, count, path, *more)
        assert ended == (0, ""), ended
        return path

    def asked_part(self, number: int, count: int, path: Path, *more: str) -> tuple[int, str]:
        """The exit code, and what was said where it is not 0."""
        given = ("--part", f"{number}/{count}", "--part-file", str(path))
        ended = run_cli(self.root, *self._named("part"), *given, *more)
        return ended.returncode, ended.stderr if ended.returncode else ""

    def refused(self, parts: list[Path], *more: str) -> str:
        """What is said where parts are not put together."""
        ended = run_cli(self.root, *self._named("refused"), *more, "--parts", *map(str, parts))
        assert ended.returncode == 1
        assert not Layout(self.root).run("show", "refused").tracks.exists()
        shutil.rmtree(Layout(self.root).run("show", "refused").folder)
        return ended.stderr

    def _named(self, run_id: str) -> tuple[str, ...]:
        return ("--ep-id", "show", "--run-id", run_id, *SMALL, "centerface", *self.arguments)


def pictures_of(video: Path) -> Iterator[Image]:
    with av.open(str(video)) as container:
        for frame in itertools.islice(container.decode(video=0), 100):
            yield frame.to_ndarray(format="rgb24")


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Runs:
    root = tmp_path_factory.mktemp("show") / "data"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    return Runs(root, ("--stride", "5"))


@pytest.fixture(scope="module")
def whole(show: Runs) -> dict[str, bytes]:
    """The results of an undivided run."""
    return show.whole("whole")


@pytest.fixture(scope="module")
def halves(show: Runs) -> list[Path]:
    return [show.part(number, 2) for number in (1, 2)]


def test_a_run_in_parts_is_the_same_to_the_byte(
    show: Runs, whole: dict[str, bytes], halves: list[Path]
) -> None:
    """Cuts and tracks across the seams included; of as many parts as the video has."""
    assert {"detections.jsonl", "tracks.jsonl", "people.jsonl", "embeddings.npz"} <= set(whole)
    assert any(name.startswith("thumbs/") for name in whole)
    assert show.whole("halves", "--parts", *map(str, halves)) == whole
    most = [show.part(number, 20) for number in range(1, 7)]
    assert show.whole("most", "--parts", *map(str, most)) == whole
    told = read_json(Layout(show.root).run("show", "most").manifest) or {}
    assert (
        told["counts"]
        == (read_json(Layout(show.root).run("show", "whole").manifest) or {})["counts"]
    )
    assert len(told["parts"]) == 6
    assert sum(part["frames"] for part in told["parts"]) == told["counts"]["frames_done"]
    crossing = [json.loads(line) for line in whole["tracks.jsonl"].splitlines()]
    assert any(row["start_s"] < 163 / 24 < row["end_s"] for row in crossing)  # where halves meet


@pytest.mark.parametrize("recipe", [VP9, MPEG2, HEVC], ids=lambda recipe: recipe.codec)
def test_of_other_codecs_too(tmp_path: Path, test_data: Path, recipe: Recipe) -> None:
    folder = tmp_path / "data" / "videos" / "show"
    folder.mkdir(parents=True)
    source = test_data / "videos" / "short_hamilton_clip.mp4"
    write_video(folder / f"episode.{ENDINGS[recipe.codec]}", pictures_of(source), recipe)
    runs = Runs(tmp_path / "data", ("--stride", "6"))
    parts = [runs.part(number, 2) for number in (1, 2)]
    assert runs.whole("parts", "--parts", *map(str, parts)) == runs.whole("whole")


def test_what_was_not_kept_is_decoded_again(
    show: Runs, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing but a few pixels of any frame between samples is in a part."""
    from apps.cli.arguments import parse
    from apps.cli.execution import run

    def of_none(_self: asked.AskedGlimpses, _glimpse: Glimpse) -> bool:
        return False

    parts = [show.root / f"{number}-few.part" for number in (1, 2)]
    named = ("--data-root", str(show.root), "--ep-id", "show", *SMALL, "centerface")
    named = (*named, *show.arguments)
    with monkeypatch.context() as changed:
        changed.setattr(asked.AskedGlimpses, "is_whole", of_none)
        for number, path in enumerate(parts, 1):
            given = ("--part", f"{number}/2", "--part-file", str(path))
            assert run(parse([*named, *given])) == 0
    usual = show.part(1, 2)
    assert parts[0].stat().st_size < 0.7 * usual.stat().st_size
    assert show.whole("few", "--parts", *map(str, parts)) == whole
    told = read_json(Layout(show.root).run("show", "few").manifest) or {}
    assert told["times"]["decode_again"] > 0


def test_parts_that_do_not_fit_are_refused(show: Runs, halves: list[Path]) -> None:
    first, second = halves
    assert "they are not the whole video" in show.refused([first])
    assert "they do not follow each other" in show.refused([second, first])
    assert "they are of another run (options)" in show.refused(halves, "--det-thresh", "0.7")
    other = show.part(2, 2, "--det-thresh", "0.7")
    again = show.part(2, 2)  # the same file once more
    assert other == again
    assert "of another run (stride, options)" in show.refused(halves, "--stride", "6")
    cut = show.root / "cut.part"
    cut.write_bytes(second.read_bytes()[:-50_000])
    assert "it is cut off" in show.refused([first, cut])
    changed = bytearray(second.read_bytes())
    changed[len(changed) // 2] ^= 1
    cut.write_bytes(changed)
    assert "its checksum is another one" in show.refused([first, cut])
    with first.open("rb") as stream:
        records = list(iter(lambda: read_record(stream), None))
    with cut.open("wb") as stream:
        for body, arrays in (*records[:2], *records[1:]):
            write_record(stream, body, arrays)
    assert "its frames do not follow each other" in show.refused([cut, second])
    cut.write_bytes(b"no part of anything, but long enough to be read as if it were")
    assert "it is no part of a run" in show.refused([first, cut])
    assert "there is no file" in show.refused([first, show.root / "missing.part"])
    assert "is no file" in show.refused([first, show.root])


def test_what_cannot_be_divided_says_why(show: Runs, tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    code, said = show.asked_part(7, 20, path)
    assert code == 2
    assert "into more than 6 parts" in said
    code, said = show.asked_part(1, 2, path, "--reuse-still")
    assert code == 2
    assert "With reuse_still each frame is compared with those before it" in said
    code, said = show.asked_part(1, 2, tmp_path / "missing" / "a.part")
    assert code == 2
    assert "there is no folder" in said
    for wrong in (["--part", "3/2"], ["--part", "1/2"], ["--part", "x", "--part-file", "f"]):
        ended = run_cli(show.root, "--ep-id", "show", *wrong)
        assert ended.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_is_stopped_leaves_no_file(show: Runs, tmp_path: Path) -> None:
    given = ("--part", "1/2", "--part-file", str(tmp_path / "a.part"), "--max-cpu-percent", "10")
    process = subprocess.Popen(
        cli_command(show.root, "--ep-id", "show", "--stride", "1", *given),
        env=clean_environment(),
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: list(tmp_path.iterdir()), what="its draft")
    process.terminate()
    assert exit_code(process) == 143
    assert list(tmp_path.iterdir()) == []


def test_parts_are_of_about_the_same_length(tmp_path: Path) -> None:
    recipe = Recipe(options={"preset": "ultrafast", "g": "10", "sc_threshold": "0"})
    path = write_video(tmp_path / "v.mp4", moving(100), recipe)
    with open_video(path, threads=1) as video:
        index = video.index
    assert [part.first for part in spans(index, 3)] == [0, 30, 70]
    assert [part.first for part in spans(index, 100)] == list(range(0, 100, 10))
    for count in range(1, 12):
        parts = spans(index, count)
        assert len(parts) == min(count, 10)
        assert parts[0].packet == 0
        assert parts[-1].end == index.packets
        assert all(one.end == other.packet for one, other in itertools.pairwise(parts))


def test_a_part_begins_where_a_group_is_near(tmp_path: Path) -> None:
    recipe = Recipe(options={"preset": "ultrafast", "sc_threshold": "0", "g": "80"})
    path = write_video(tmp_path / "v.mp4", moving(100), recipe)
    with open_video(path, threads=1) as video:
        assert [part.first for part in spans(video.index, 2)] == [0, 80]  # wanted at 50
        assert [part.first for part in spans(video.index, 4)] == [0, 80]  # at 25, 50 and 75
