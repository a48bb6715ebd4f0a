"""The storage as readers see it: its runs in their lists, their files where somebody asks for them.

What is new there is noted here with its manifest alone (`Index`); the rest comes, all or nothing,
when it is read (`bring_results`).
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from apps.common.contracts.manifest import RunManifest
from apps.common.errors import RunNotFound, StorageUnavailable
from apps.common.files import (
    read_json,
    storage_errors,
    sync,
    sync_tree,
    write_atomic,
    write_json,
)
from apps.common.layout import Check, Layout, RunFiles
from apps.common.names import is_comparison_run
from apps.common.remote import RemoteVideo
from apps.objects.archive import unpack
from apps.objects.outbox import completed_here, note_due
from apps.objects.publish import publish
from apps.objects.records import (
    RECORDS,
    StoredRun,
    hidden_key,
    object_key,
    objects_of,
    record_key,
    run_folder,
    video_key,
)
from apps.objects.store import NoObject, ObjectChanged, ObjectStore
from apps.objects.video_upload import put_video
from apps.objects.videos import PATIENCE_SECONDS, Videos, bringing
from apps.runs.lock import is_held
from apps.runs.staging import remove_tree

_log = logging.getLogger("screenalytics.storage")


class Mirror:
    """A storage for a `Layout`; see `apps.common.remote.Remote`.

    Args:
        store: asked.
        cache_mb: so many megabytes of videos stay here that are there as well.
        min_free_mb: of the disk.
    """

    def __init__(self, store: ObjectStore, cache_mb: float, min_free_mb: float) -> None:
        self.store = store
        self.videos = Videos(store, cache_mb, min_free_mb)

    def bring_run(self, layout: Layout, ep_id: str, run_id: str) -> bool:
        """Brings a run's manifest here; False where the storage has no such run either."""
        keys = {found.key for found in self.store.below(f"{RECORDS}{ep_id}/")}
        hidden = {hidden_key(ep_id, run_id), hidden_key(ep_id, None)}
        if record_key(ep_id, run_id) not in keys or hidden & keys:
            return False
        return self.note_run(layout, ep_id, run_id)

    def note_run(self, layout: Layout, ep_id: str, run_id: str) -> bool:
        """As `bring_run`, of a run that is known to be there and not deleted."""
        with bringing(layout, ep_id, patience_s=PATIENCE_SECONDS):
            return self.note_held_run(layout, ep_id, run_id)

    def note_held_run(self, layout: Layout, ep_id: str, run_id: str) -> bool:
        """As `note_run`, for who is alone with what comes of the episode (`bringing`)."""
        try:
            body, e_tag = self.store.get(record_key(ep_id, run_id))
            run = StoredRun.model_validate_json(body)
            manifest = RunManifest.model_validate(run.manifest)
        except (NoObject, ValidationError):
            return False
        if (manifest.ep_id, manifest.run_id, manifest.status) != (ep_id, run_id, "completed"):
            return False
        with storage_errors():
            files = layout.run(ep_id, run_id)
            if not files.manifest.exists():
                _set_up(layout, ep_id, run_id, run, body)
                files.stored.write_text(e_tag)
                _point_latest(layout, manifest)
        return True

    def bring_results(self, layout: Layout, ep_id: str, run_id: str) -> None:
        """Brings all files of a run of which only the manifest is here.

        Raises:
            RunNotFound: it is gone from the storage.
            StorageFailed: the disk does not take it.
        """
        files = layout.run(ep_id, run_id)
        with bringing(layout, ep_id, patience_s=PATIENCE_SECONDS), storage_errors():
            if not files.remote.exists():
                return  # somebody else was faster
            coming = layout.arriving(ep_id) / run_id
            shutil.rmtree(coming, ignore_errors=True)
            coming.mkdir(parents=True)
            try:
                run = StoredRun.model_validate_json(files.remote.read_bytes())
                self._fetch(coming, ep_id, run_id, run)
                sync_tree(coming)
                for file in run.files:
                    target = files.folder / file.name
                    if target.is_dir():
                        shutil.rmtree(target)
                    (coming / file.name).replace(target)
                sync(files.folder)
                files.remote.unlink()
            except (NoObject, ObjectChanged, ValidationError):
                remove_tree(files.folder)
                raise RunNotFound(
                    f"Run {run_id!r} of episode {ep_id!r} is gone from the storage.",
                    hint="It was deleted there.",
                ) from None
            finally:
                shutil.rmtree(coming, ignore_errors=True)
        _log.info("run brought", extra={"ep_id": ep_id, "run_id": run_id})

    def _fetch(self, folder: Path, ep_id: str, run_id: str, run: StoredRun) -> None:
        """Gets the files of a run into a folder, each checked."""
        where = objects_of(ep_id, run_id, run.token)
        there = {found.key: found for found in self.store.below(where)}
        for file in run.files:
            found = there.get(object_key(where, file.name, file.kind))
            if found is None:
                raise NoObject
            path = folder / (f".{file.name}.tar" if file.kind == "tar" else file.name)
            digest, size = hashlib.sha256(), 0
            with path.open("wb") as stream:
                for part in self.store.parts(found):
                    digest.update(part)
                    size += stream.write(part)
            if (size, digest.hexdigest()) != (file.size_bytes, file.sha256):
                raise StorageUnavailable(
                    f"The file {file.name} in the storage is not the one that was stored.",
                    hint="Try again; where it stays so, run the episode again.",
                )
            if file.kind == "tar":
                unpack(path, folder / file.name)
                path.unlink()

    def find_video(self, ep_id: str) -> RemoteVideo | None:
        """The episode's video there; None where there is none."""
        return self.videos.find(ep_id)

    def has_equal_video(self, ep_id: str, path: Path) -> bool:
        """Whether the episode's video there has the fingerprint of a file."""
        return self.videos.is_equal(ep_id, path)

    def bring_video(
        self, layout: Layout, ep_id: str, *, check: Check | None = None, hold: bool = False
    ) -> bool:
        """Brings the episode's video here; False where the storage has none."""
        return self.videos.bring(layout, ep_id, check=check, hold=hold)

    def put_video(self, ep_id: str, path: Path, name: str) -> RemoteVideo:
        """Stores a video as that of an episode that has none."""
        return put_video(self.store, ep_id, path, name)

    def hide(self, ep_id: str, run_id: str | None) -> None:
        """Has a run, or an episode, be gone for every host. What is not stored needs no more."""
        keys = {found.key for found in self.store.below(f"{RECORDS}{ep_id}/")}
        if run_id is None:
            is_stored = bool(keys) or any(self.store.below(video_key(ep_id, "")))
        else:
            is_stored = record_key(ep_id, run_id) in keys
        if is_stored:
            self.store.put(hidden_key(ep_id, run_id), b"{}")

    def show(self, ep_id: str, run_id: str | None) -> None:
        """Takes that back."""
        self.store.delete([hidden_key(ep_id, run_id)])

    def changed(
        self, layout: Layout, ep_id: str, run_id: str | None = None, *, at_once: bool
    ) -> None:
        """Has files of a run stored again that have changed here, or of all of an episode."""
        names = completed_here(layout, ep_id) if run_id is None else [run_id]
        for name in names:
            note_due(layout, ep_id, name, replaces=True)
        for name in names if at_once else []:
            with suppress(StorageUnavailable):
                publish(layout, self.store, ep_id, name)

    def erase(self, ep_id: str, run_id: str | None) -> None:
        """Removes the objects of what was hidden, its records first and what hides it last."""
        hidden = hidden_key(ep_id, run_id)
        try:
            self.store.get(hidden)
        except NoObject:
            return  # it was not stored, or has come back
        if run_id is None:
            below = [f"{RECORDS}{ep_id}/", f"runs/{ep_id}/", video_key(ep_id, "")]
            keys = [found.key for prefix in below for found in self.store.below(prefix)]
        else:
            objects = self.store.below(run_folder(ep_id, run_id))
            keys = [record_key(ep_id, run_id), *(found.key for found in objects)]
        self.store.delete([key for key in keys if key != hidden])
        self.store.delete([hidden])


def _set_up(layout: Layout, ep_id: str, run_id: str, run: StoredRun, record: bytes) -> None:
    """Makes a run's folder with its manifest, and what is needed to bring the rest."""
    coming = layout.arriving(ep_id) / f"{run_id}.manifest"
    shutil.rmtree(coming, ignore_errors=True)
    coming.mkdir(parents=True)
    staged = RunFiles(coming)
    write_atomic(staged.remote, record)
    write_json(staged.manifest, run.manifest)
    folder = layout.run(ep_id, run_id).folder
    if folder.exists() and not is_held(layout, ep_id):
        remove_tree(folder)  # it has no manifest: a removal was cut off
    coming.rename(folder)


def _point_latest(layout: Layout, manifest: RunManifest) -> None:
    """Has `latest.json` name the run that finished last."""
    latest = layout.latest(manifest.ep_id)
    known = (read_json(latest) or {}).get("finished_at")
    is_newer = not isinstance(known, str) or known < (manifest.finished_at or "")
    if is_newer and not is_comparison_run(manifest.run_id):
        body = {"run_id": manifest.run_id, "finished_at": manifest.finished_at}
        write_json(latest, body, durable=True)
