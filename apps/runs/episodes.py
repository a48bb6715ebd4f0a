"""Episodes on disk: which there are, and where their videos lie."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from apps.common.errors import EpisodeNotFound
from apps.common.files import entries_of, folders_of, is_file, is_folder
from apps.common.layout import Layout
from apps.common.names import is_name
from apps.common.remote import noted_video
from apps.runs.store import has_runs

VIDEO_STEM = "episode"
VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".flv", ".ogv", ".wmv", ".asf"),
        *(".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".mxf", ".gxf", ".dv", ".wtv", ".rm"),
        *(".rmvb", ".nut", ".ivf", ".obu", ".mjpeg", ".mjpg", ".apng", ".gif", ".y4m"),
        *(".h264", ".264", ".hevc", ".265", ".m2v", ".vc1"),
    }
)
_MOVING_PICTURES = frozenset({".apng", ".gif"})  # beside a video they are its picture
# What lies beside videos: subtitles, descriptions, pictures, sound, checksums, half downloads.
_SIDE_SUFFIXES = frozenset(
    {
        *(".srt", ".vtt", ".ass", ".ssa", ".sub", ".idx", ".sup", ".smi", ".ttml", ".mks"),
        *(".json", ".jsonl", ".xml", ".nfo", ".txt", ".md", ".csv", ".yaml", ".yml", ".edl"),
        *(".html", ".htm", ".pdf", ".url", ".log", ".zip", ".gz", ".torrent"),
        *(".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".bmp", ".tif", ".tiff", ".svg"),
        *(".mp3", ".m4a", ".aac", ".ac3", ".eac3", ".dts", ".wav", ".flac", ".opus", ".mka"),
        *(".md5", ".sha1", ".sha256", ".sfv", ".lock", ".bak", ".old", ".orig", ".tmp"),
        *(".part", ".partial", ".crdownload", ".download", ".ytdl"),
    }
)


def find_video(layout: Layout, ep_id: str) -> Path:
    """The episode's video file; as `find_videos`."""
    return find_videos(layout, ep_id)[0]


def find_videos(layout: Layout, ep_id: str) -> list[Path]:
    """The videos in the episode's folder; the first one is the episode's.

    Raises:
        InvalidInput: `ep_id` is not a name.
        EpisodeNotFound: there is no such episode, or no video in it.
    """
    videos = video_files(layout.episode(ep_id))
    if not videos:
        if noted_video(layout.remote_video(ep_id)) is not None:
            raise EpisodeNotFound(
                f"The video of episode {ep_id!r} is in the storage and not on this host.",
                hint="A run brings it here, and so does GET /episodes/…/video.",
            )
        exists = episode_exists(layout, ep_id)
        what = f"has no video ({VIDEO_STEM}.<ext>)" if exists else "does not exist"
        raise EpisodeNotFound(
            f"Episode {ep_id!r} {what}.",
            hint="Upload it (the page, or POST /episodes), have screenalytics run --video FILE "
            f"take it, or put it at videos/{ep_id}/{VIDEO_STEM}.mp4 under the data root.",
        )
    return videos


def check_episode(layout: Layout, ep_id: str) -> None:
    """Refuses an episode that does not exist.

    Raises:
        InvalidInput: `ep_id` is not a name.
        EpisodeNotFound: so.
    """
    if not episode_exists(layout, ep_id):
        raise EpisodeNotFound(
            f"Episode {ep_id!r} does not exist.", hint="See GET /episodes, or screenalytics list."
        )


def check_video(layout: Layout, ep_id: str) -> None:
    """As `find_video`, satisfied with one in the storage."""
    if has_video(layout, ep_id):
        return
    if layout.remote is None or layout.remote.find_video(ep_id) is None:
        find_video(layout, ep_id)


def fetched_video(layout: Layout, ep_id: str) -> Path:
    """As `find_video`; one in the storage is brought here first, which may take minutes."""
    if layout.remote is not None and not video_files(layout.episode(ep_id)):
        layout.remote.bring_video(layout, ep_id)
    return find_video(layout, ep_id)


def is_elsewhere(layout: Layout, ep_id: str) -> bool:
    """Whether its video is in the storage and not here."""
    return has_video(layout, ep_id) and not video_files(layout.episode(ep_id))


def has_video(layout: Layout, ep_id: str) -> bool:
    """Whether there is one here, or one is noted that is in the storage."""
    known = noted_video(layout.remote_video(ep_id))
    return known is not None or bool(video_files(layout.episode(ep_id)))


def video_files(folder: Path) -> list[Path]:
    """The videos `episode.<ext>` of a folder, in order; the first one is the episode's.

    Files with an ending that is not known count where there is no other, and side files
    (`episode.en.srt`, `episode.jpg`) never.
    """
    found = _candidates(entries_of(folder))
    return _files(_films(found)) or _files(found)


def preferred(paths: Iterable[Path]) -> list[Path]:
    """As `video_files`, of files that are not here."""
    found = _candidates(paths)
    return _films(found) or found


def _candidates(paths: Iterable[Path]) -> list[Path]:
    named = (path for path in paths if path.stem == VIDEO_STEM and path.suffix)
    return sorted(path for path in named if path.suffix.lower() not in _SIDE_SUFFIXES)


def _films(found: list[Path]) -> list[Path]:
    return [path for path in found if path.suffix.lower() in VIDEO_SUFFIXES - _MOVING_PICTURES]


def several_videos_warning(videos: list[Path]) -> str | None:
    """A warning where an episode has more than one video; None where it has not."""
    names = [path.name for path in videos]
    if len(names) < 2:
        return None
    return (
        f"The episode has {len(names)} videos: {names[0]} is taken, not {', '.join(names[1:])}. "
        "Leave only one in its folder."
    )


def episode_exists(layout: Layout, ep_id: str) -> bool:
    """Whether it has a folder, or runs: the command line runs videos from anywhere."""
    return is_folder(layout.episode(ep_id)) or has_runs(layout, ep_id)


def list_episodes(layout: Layout) -> list[str]:
    """Names of the episodes that exist, in order."""
    uploaded = set(folders_of(layout.videos))
    ran = set(folders_of(layout.all_manifests)) - uploaded
    return sorted(
        [name for name in uploaded if is_name(name)]
        + [name for name in ran if is_name(name) and has_runs(layout, name)]
    )


def _files(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if is_file(path)]
