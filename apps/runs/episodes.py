"""Episodes on disk: which there are, and where their videos lie."""

from __future__ import annotations

from pathlib import Path

from apps.common.errors import EpisodeNotFound
from apps.common.layout import Layout
from apps.common.names import is_name

VIDEO_STEM = "episode"


def find_video(layout: Layout, ep_id: str) -> Path:
    """The episode's video file.

    Raises:
        InvalidInput: `ep_id` is not a name.
        EpisodeNotFound: there is no such episode, or no video in it.
    """
    folder = layout.episode(ep_id)
    videos = video_files(folder)
    if not videos:
        what = f"has no video ({VIDEO_STEM}.<ext>)" if folder.is_dir() else "does not exist"
        raise EpisodeNotFound(
            f"Episode {ep_id!r} {what}.",
            hint=f"Upload it with POST /episodes, or put it at videos/{ep_id}/{VIDEO_STEM}.mp4 "
            "under the data root.",
        )
    return videos[0]


def video_files(folder: Path) -> list[Path]:
    """Files named `episode.<ext>` in a folder, in order."""
    return sorted(p for p in folder.glob(f"{VIDEO_STEM}.*") if p.is_file())


def list_episodes(layout: Layout) -> list[str]:
    """Names of the episodes that have a folder, in order."""
    try:
        entries = list(layout.videos.iterdir())
    except OSError:
        return []
    return sorted(entry.name for entry in entries if is_name(entry.name) and entry.is_dir())
