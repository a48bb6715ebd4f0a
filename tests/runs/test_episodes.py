"""Which file of an episode's folder is its video, and which episodes there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.common.errors import EpisodeNotFound
from apps.common.layout import Layout
from apps.runs.episodes import (
    find_video,
    find_videos,
    list_episodes,
    several_videos_warning,
    video_files,
)

SIDE_FILES = (
    "episode.en.srt", "episode.srt", "episode.jpg", "episode.json", "episode.NFO", "episode.m4a",
    "episode-poster.jpg", "episode", "episode.", ".episode.mp4", "episode.mp4.part", "other.mp4",
    "episode.part",
)  # fmt: skip


def fill(folder: Path, *names: str) -> list[str]:
    """Makes the files; the names of the videos that are found among them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return [path.name for path in video_files(folder)]


@pytest.mark.parametrize("video", ["episode.mkv", "episode.MP4", "episode.ts", "episode.divx"])
def test_what_lies_beside_a_video_is_none(tmp_path: Path, video: str) -> None:
    assert fill(tmp_path, *SIDE_FILES, video) == [video]


def test_what_lies_there_alone_is_none_either(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert fill(layout.episode("show"), *SIDE_FILES) == []
    with pytest.raises(EpisodeNotFound, match="has no video"):
        find_video(layout, "show")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("episode.mp4", "episode.mkv"), ["episode.mkv", "episode.mp4"]),
        (("episode.gif", "episode.mkv"), ["episode.mkv"]),  # its picture, as pages want them
        (("episode.gif", "episode.jpg"), ["episode.gif"]),
        (("episode.dat", "episode.webm"), ["episode.webm"]),
        (("episode.divx", "episode.dat"), ["episode.dat", "episode.divx"]),
    ],
)
def test_known_kinds_come_first_and_their_order_is_fixed(
    tmp_path: Path, names: tuple[str, ...], found: list[str]
) -> None:
    layout = Layout(tmp_path)
    assert fill(layout.episode("show"), *names) == found
    assert find_video(layout, "show").name == found[0]
    warning = several_videos_warning(find_videos(layout, "show"))
    assert (warning is None) == (len(found) == 1)
    assert warning is None or f"{found[0]} is taken, not {found[1]}" in warning


def test_folders_and_missing_folders_are_no_videos(tmp_path: Path) -> None:
    (tmp_path / "episode.mp4").mkdir()
    assert video_files(tmp_path) == []
    assert video_files(tmp_path / "nowhere") == []


def test_episodes_are_those_with_a_folder_or_a_run(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert list_episodes(layout) == []
    layout.episode("uploaded").mkdir(parents=True)
    for ep_id in ("ran", "uploaded"):
        folder = layout.run(ep_id, "one").folder
        folder.mkdir(parents=True)
        (folder / "run.json").touch()
    (layout.all_manifests / "empty" / "runs" / "nothing").mkdir(parents=True)
    (layout.all_manifests / "no episode" / "runs").mkdir(parents=True)
    assert list_episodes(layout) == ["ran", "uploaded"]
    with pytest.raises(EpisodeNotFound, match="has no video"):
        find_video(layout, "ran")
    with pytest.raises(EpisodeNotFound, match="does not exist"):
        find_video(layout, "empty")
