"""One run at a time for an episode: a file lock that any death frees.

The process that runs holds it (not its launcher), so it lives exactly as long as the work. It
holds between API processes, workers and command lines on one host.

There are two files. Runs alone lock the first, so it decides at once who may run. The second shows
that to readers, who take it for a moment to ask: however many ask, none keeps a run out.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from apps.common.contracts.manifest import Holder
from apps.common.errors import EpisodeBusy
from apps.common.files import storage_errors, write_json
from apps.common.layout import Layout
from apps.common.names import is_name
from apps.common.open_result import result_json

_READERS_PATIENCE = 10.0  # seconds; each reader holds the shown lock for microseconds
_BUSY_HINT = "Wait until that run ends, or stop it, then try again."
_MODE_WORDS = {
    "local": "locally (direct)",
    "redis": "by a worker (queued)",
    "sse": "by the old SSE path",
    "cli": "from the command line",
}


@contextmanager
def episode_lock(layout: Layout, holder: Holder) -> Iterator[None]:
    """Holds the episode for the time of the block.

    Raises:
        EpisodeBusy: another run holds it; says which, how and since when.
        StorageFailed: the data root is not writable.
    """
    path = layout.lock(holder.ep_id)
    with storage_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        with storage_errors():
            try:
                locks.enter_context(FileLock(path, timeout=0))
                shown = FileLock(layout.shown_lock(holder.ep_id), timeout=_READERS_PATIENCE)
                locks.enter_context(shown.acquire(poll_interval=0.005))
            except Timeout:
                raise busy_error(layout, holder.ep_id) from None
        locks.callback(_forget_holder, layout.holder(holder.ep_id))
        with storage_errors():
            write_json(layout.holder(holder.ep_id), holder.model_dump())
        yield


def is_held(layout: Layout, ep_id: str) -> bool:
    """True while a run holds the episode. Never waits."""
    try:
        descriptor = os.open(layout.shown_lock(ep_id), os.O_RDONLY)
    except OSError:  # there is none, or nothing that could be locked
        return False
    try:
        # Shared: readers do not mistake each other for a run.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def current_holder(layout: Layout, ep_id: str) -> Holder | None:
    """Who holds the episode; None where it is free or the holder has not said yet."""
    if not is_held(layout, ep_id):
        return None
    return _read_holder(layout, ep_id)


def current_holders(layout: Layout) -> list[Holder]:
    """Who holds which episode, by any way, in the order of the episodes' names.

    Cheap: only a run that is under way, or was killed, leaves a file to look at.
    """
    names = sorted(path.stem for path in layout.locks.glob("*.json"))
    holders = {name: current_holder(layout, name) for name in names if is_name(name)}
    return [
        holder for name, holder in holders.items() if holder is not None and holder.ep_id == name
    ]


def busy_error(layout: Layout, ep_id: str) -> EpisodeBusy:
    holder = _read_holder(layout, ep_id)
    if holder is None:
        return EpisodeBusy(f"Episode {ep_id!r} is running already.", hint=_BUSY_HINT)
    return EpisodeBusy(
        f"Episode {ep_id!r} is running {_MODE_WORDS[holder.execution_mode]} as run "
        f"{holder.run_id} since {holder.since}.",
        hint=_BUSY_HINT,
        execution_mode=holder.execution_mode,
        run_id=holder.run_id,
        since=holder.since,
    )


def _forget_holder(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _read_holder(layout: Layout, ep_id: str) -> Holder | None:
    body = result_json(layout, layout.holder(ep_id))
    try:
        holder = None if body is None else Holder.model_validate(body)
        return holder if holder is not None and holder.model_dump_json() else None
    except ValueError:
        return None
