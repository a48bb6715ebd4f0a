"""Stores a video as that of an episode; of two hosts that do so at once, one does."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from apps.common.errors import EpisodeExists, StorageUnavailable
from apps.common.files import fingerprint_of, storage_errors
from apps.common.remote import RemoteVideo
from apps.objects.publish import file_parts
from apps.objects.records import claim_key, video_key, video_name
from apps.objects.store import NoObject, ObjectChanged, ObjectExists, ObjectStore, StoredObject
from apps.objects.videos import is_hidden, own_video, seen

_CLAIM_LASTS = timedelta(days=1)  # of a host that died while it was storing a video


class _Claim(BaseModel):
    """Who stores an episode's video, by the video.

    Args:
        fingerprint: as of `fingerprint_of`.
        at: when it began.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    fingerprint: str
    at: AwareDatetime


def put_video(store: ObjectStore, ep_id: str, path: Path, name: str) -> RemoteVideo:
    """Stores a video as that of an episode that has none.

    The claim stays: of two hosts that do so at once, one finds that of the other.

    Raises:
        EpisodeExists: it has one there, or another host is storing one.
    """
    with storage_errors():
        claim = _Claim(fingerprint=fingerprint_of(path), at=datetime.now(UTC))
        size = path.stat().st_size
    found = _own_claim(store, ep_id, claim)
    if found is None or found.size_bytes != size or video_name(found.key) != (ep_id, name):
        e_tag = store.put(video_key(ep_id, name), file_parts(path))
        found = own_video(list(store.below(video_key(ep_id, ""))))
        if found is None or found.size_bytes != size or e_tag not in (found.e_tag, ""):
            raise StorageUnavailable(
                "The video in the storage is not the one that was stored.", hint="Try again."
            )
    return seen(found).model_copy(update={"here": True})


def _own_claim(store: ObjectStore, ep_id: str, claim: _Claim) -> StoredObject | None:
    """Claims the episode; its video, where that was stored under the same claim before."""
    key, body = claim_key(ep_id), claim.model_dump_json().encode()
    found = own_video(list(store.below(video_key(ep_id, ""))))
    taken = EpisodeExists(
        f"Episode {ep_id!r} has a video in the storage already.",
        hint="Choose another ep_id; or empty the trash, if it was deleted.",
    )
    if found is None:
        with suppress(ObjectExists):
            store.put(key, body, create=True)
            return None
    if is_hidden(store, ep_id):
        raise taken
    try:
        found_claim, e_tag = store.get(key)
        other = _Claim.model_validate_json(found_claim)
    except (NoObject, ValidationError):
        raise taken from None
    if other.fingerprint == claim.fingerprint:
        return found
    if found is not None or datetime.now(UTC) - other.at < _CLAIM_LASTS:
        raise taken
    try:
        store.replace(key, body, e_tag)
    except ObjectChanged:
        raise taken from None
    return None
