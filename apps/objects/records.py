"""What lies where in the storage, and the record that makes a stored run one that is seen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from apps.common.layout import MANIFEST_NAME
from apps.common.names import is_name, is_run_name

RECORDS = "published/"
VIDEOS = "videos/"
PARTS = "parts/"
_FILE = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._\-]{0,127}$")
_RECORD = re.compile(r"published/([^/]+)/(runs|hidden)/([^/]+)\.json")
_HIDDEN = re.compile(r"published/([^/]+)/hidden\.json")
_VIDEO = re.compile(r"videos/([^/]+)/(episode\.[^/]+)")
_PART = re.compile(r"parts/([^/]+)/([0-9a-f]+)/([^/]+)")


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StoredFile(_Stored):
    """An object that holds a file of a run, or a folder of them as a tar archive.

    Args:
        name: in the run's folder; of an archive the folder's.
        size_bytes, sha256: of the object.
    """

    name: str = Field(pattern=_FILE.pattern)
    kind: Literal["file", "tar"] = "file"
    size_bytes: int = Field(ge=0)
    sha256: str


class StoredRun(_Stored):
    """A run in the storage: written last, so whoever finds this finds all of it.

    Args:
        token: of whoever stored it; names the folder of its objects.
        manifest: the run's `run.json`.
    """

    version: Literal[1] = 1
    token: str = Field(pattern=r"^[0-9a-f]{16}$")
    manifest: dict[str, Any]
    files: list[StoredFile]

    @field_validator("files")
    @classmethod
    def _are_results(cls, files: list[StoredFile]) -> list[StoredFile]:
        names = [file.name for file in files]
        if MANIFEST_NAME in names or len(set(names)) < len(names):
            raise ValueError("a run has each of its files once, and its manifest apart")
        return files


def record_key(ep_id: str, run_id: str) -> str:
    return f"{RECORDS}{ep_id}/runs/{run_id}.json"


def hidden_key(ep_id: str, run_id: str | None) -> str:
    """Says that a run, or an episode, was deleted and can be had back."""
    return f"{RECORDS}{ep_id}/hidden{'' if run_id is None else f'/{run_id}'}.json"


def claim_key(ep_id: str) -> str:
    """Says who stores the episode's video."""
    return f"{RECORDS}{ep_id}/video.json"


def run_folder(ep_id: str, run_id: str) -> str:
    return f"runs/{ep_id}/{run_id}/"


def objects_of(ep_id: str, run_id: str, token: str) -> str:
    """Below which the files of a run lie that were stored under a token."""
    return f"{run_folder(ep_id, run_id)}{token}/"


def object_key(where: str, name: str, kind: Literal["file", "tar"]) -> str:
    """The key of a file of a run.

    Args:
        where: see `objects_of`.
    """
    return f"{where}{name}{'.tar' if kind == 'tar' else ''}"


def is_file_name(name: str) -> bool:
    """Whether a file of this name is stored: those of results are, hidden ones are not."""
    return _FILE.fullmatch(name) is not None


def video_key(ep_id: str, name: str) -> str:
    return f"{VIDEOS}{ep_id}/{name}"


@dataclass(frozen=True)
class RecordName:
    """What a key below `RECORDS` says.

    Args:
        run_id: None for the episode as a whole.
    """

    ep_id: str
    run_id: str | None
    hidden: bool


def record_name(key: str) -> RecordName | None:
    """None for a key that is none of a record's."""
    found = _RECORD.fullmatch(key)
    if found is not None and is_name(found[1]) and is_run_name(found[3]):
        return RecordName(found[1], found[3], found[2] == "hidden")
    found = _HIDDEN.fullmatch(key)
    return RecordName(found[1], None, True) if found is not None and is_name(found[1]) else None


def video_name(key: str) -> tuple[str, str] | None:
    """The episode and the file that a key below `VIDEOS` names; None for any other key."""
    found = _VIDEO.fullmatch(key)
    return (found[1], found[2]) if found is not None and is_name(found[1]) else None


def parts_of(job_id: str, token: str) -> str:
    """Below which the files lie that the parts of a divided run are put together from."""
    return f"{PARTS}{job_id}/{token}/"


def job_of_part(key: str) -> str | None:
    """The job that a key below `PARTS` names; None for any other key."""
    found = _PART.fullmatch(key)
    return found[1] if found is not None and is_name(found[1]) else None
