"""What is new in the storage, noted here: runs by their manifests, videos by their sizes."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from apps.common.errors import EpisodeBusy, StorageFailed, StorageUnavailable
from apps.common.files import entries_of, read_json
from apps.common.layout import Layout
from apps.common.names import is_name, is_run_name
from apps.common.remote import RemoteVideo, noted_video
from apps.objects.mirror import Mirror
from apps.objects.records import RECORDS, record_name
from apps.objects.videos import bringing, note, remove_copy
from apps.runs.episodes import video_files
from apps.runs.staging import remove_tree
from apps.runs.store import point_latest_anew
from apps.runs.trash import alone

_log = logging.getLogger("screenalytics.storage")


@contextmanager
def _kept(failed: list[StorageFailed]) -> Iterator[None]:
    """Keeps a failure of the disk for later."""
    try:
        yield
    except StorageFailed as error:
        failed.append(error)


class Index:
    """Looks again and again; two requests for lists a time, and one for each run that is new.

    Args:
        layout: of the data root.
        mirror: of the storage.
    """

    def __init__(self, layout: Layout, mirror: Mirror) -> None:
        self._layout = layout
        self._mirror = mirror
        self._known: set[tuple[str, str]] = set()  # keys and ETags that have been dealt with
        self._unreadable: set[tuple[str, str]] = set()  # of these, those that are no runs
        self.problem = ""  # why the last look failed

    def turn(self) -> None:
        """As `refresh`; where the storage is away, says so once, and what is noted stays."""
        try:
            self.refresh()
        except StorageUnavailable as error:
            if error.detail != self.problem:
                _log.warning("the storage is not looked at: %s", error.detail)
            self.problem = error.detail
        except Exception:  # whatever lies there, the next turn looks at it again
            _log.exception("the storage could not be looked at")
        else:
            self.problem = ""

    def refresh(self) -> None:
        """Notes what is there and not here, and removes what was deleted.

        Raises:
            StorageUnavailable: nothing can be said of it.
            StorageFailed: the disk did not take one of them; all others are noted.
        """
        records = list(self._mirror.store.below(RECORDS))
        names = {one: record_name(one.key) for one in records}
        hidden = {(n.ep_id, n.run_id) for n in names.values() if n is not None and n.hidden}
        failed: list[StorageFailed] = []
        for one, name in names.items():
            if name is None or name.run_id is None or name.hidden:
                continue
            if (name.ep_id, name.run_id) in hidden or (name.ep_id, None) in hidden:
                continue
            with _kept(failed):
                self._see_run(name.ep_id, name.run_id, (one.key, one.e_tag))
        for ep_id, run_id in hidden:
            self._drop(ep_id, run_id)
        gone = {ep_id for ep_id, run_id in hidden if run_id is None}
        videos = {e: v for e, v in self._mirror.videos.all().items() if e not in gone}
        for ep_id, video in videos.items():
            with _kept(failed):
                self._see_video(ep_id, video)
        self._forget_videos(set(videos))
        if failed:
            raise failed[0]

    def _see_run(self, ep_id: str, run_id: str, version: tuple[str, str]) -> None:
        files = self._layout.run(ep_id, run_id)
        is_here = files.manifest.exists()
        if version in (self._known if is_here else self._unreadable):
            return
        if is_here and self._is_outdated(ep_id, run_id, version[1]):
            is_here = not self._removed(ep_id, run_id, version[1])
        if not is_here:
            with ExitStack() as held:
                try:
                    held.enter_context(bringing(self._layout, ep_id, patience_s=0))
                except StorageUnavailable:
                    return  # something of it comes; next time: all others would wait as well
                if not self._mirror.note_held_run(self._layout, ep_id, run_id):
                    self._unreadable.add(version)
        self._known.add(version)

    def _is_outdated(self, ep_id: str, run_id: str, e_tag: str) -> bool:
        """Whether what is here of a run gives way to what is there."""
        files = self._layout.run(ep_id, run_id)
        if (read_json(files.manifest) or {}).get("status") != "completed":
            return True  # an attempt that died here; another host completed the run
        if self._layout.unpublished(ep_id, run_id).exists():
            return False
        try:
            return files.stored.read_text() != e_tag  # another host has stored it again
        except OSError:
            return False  # it was not stored from here

    def _removed(self, ep_id: str, run_id: str, e_tag: str | None) -> bool:
        """Removes what is here of a run, unless something works on it.

        Args:
            e_tag: only where it is outdated still; None for a run that was deleted.
        """
        layout = self._layout
        try:
            with bringing(layout, ep_id, patience_s=0), alone(layout, ep_id):
                if e_tag is not None and not self._is_outdated(ep_id, run_id, e_tag):
                    return False
                remove_tree(layout.run(ep_id, run_id).folder)
                point_latest_anew(layout, ep_id)
        except (EpisodeBusy, StorageUnavailable):
            return False
        return True

    def _drop(self, ep_id: str, run_id: str | None) -> None:
        """Removes what another host has deleted; nothing that is on, or not stored yet."""
        layout = self._layout
        runs = layout.runs(ep_id)
        names = [path.name for path in entries_of(runs)] if run_id is None else [run_id]
        for name in names:
            if not is_run_name(name) or layout.unpublished(ep_id, name).exists():
                continue
            if layout.run(ep_id, name).stored.exists():
                self._removed(ep_id, name, None)
        known = noted_video(layout.remote_video(ep_id))
        if run_id is not None or known is None:
            return
        is_gone = not known.here or remove_copy(layout, ep_id, known)
        if is_gone and not video_files(layout.episode(ep_id)):  # else it has one of its own
            shutil.rmtree(layout.episode(ep_id), ignore_errors=True)

    def _see_video(self, ep_id: str, video: RemoteVideo) -> None:
        layout = self._layout
        known = noted_video(layout.remote_video(ep_id))
        if known is not None and known.model_copy(update={"here": False}) == video:
            return
        if known is not None and known.here and not remove_copy(layout, ep_id, known):
            return  # somebody works with what it was; next time
        note(layout, ep_id, video)

    def _forget_videos(self, there: set[str]) -> None:
        """Forgets the videos of episodes that have none there any more."""
        layout = self._layout
        for folder in entries_of(layout.videos):
            path = folder / layout.remote_video("any").name
            if is_name(folder.name) and folder.name not in there and path.exists():
                # A copy stays: the bucket may be another one by now, or have lost it.
                path.unlink(missing_ok=True)
                with suppress(OSError):
                    folder.rmdir()
