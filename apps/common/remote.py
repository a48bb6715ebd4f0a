"""What a host has noted of videos in a storage that it shares with others."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from apps.common.files import read_json


class RemoteVideo(BaseModel):
    """A video in the storage, as it was seen there.

    Args:
        name: `episode.<ext>`.
        e_tag: tells its content from another.
        here: the file beside this note is a copy of it, and can be had again.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    size_bytes: int
    e_tag: str
    here: bool = False


def noted_video(path: Path) -> RemoteVideo | None:
    """What a host has noted of an episode's video in the storage; None where it has not."""
    body = read_json(path)
    try:
        return None if body is None else RemoteVideo.model_validate(body)
    except ValidationError:
        return None
