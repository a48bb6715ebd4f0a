"""What people say of an episode or a run, in a small file beside it: its title, and a pin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from apps.common.files import storage_errors, write_json
from apps.common.layout import Layout
from apps.common.library_schemas import About, EpisodeChange, RunChange
from apps.common.open_result import result_json
from apps.runs.episodes import check_episode
from apps.runs.store import no_such_run


def about_episode(layout: Layout, ep_id: str) -> About:
    """What is said of an episode; nothing where the file is missing or damaged."""
    return read_about(layout, layout.about(ep_id))


def about_run(layout: Layout, ep_id: str, run_id: str) -> About:
    """The same of a run."""
    return read_about(layout, layout.run(ep_id, run_id).about)


def read_about(layout: Layout, path: Path) -> About:
    body = result_json(layout, path)
    try:
        return About() if body is None else About.model_validate(body)
    except ValidationError:
        return About()


def change_episode(layout: Layout, ep_id: str, change: EpisodeChange) -> About:
    """Writes the fields that the change has. The last writer of a field wins.

    Raises:
        EpisodeNotFound: there is no such episode.
        StorageFailed: it cannot be written.
    """
    with tree_lock(layout):
        check_episode(layout, ep_id)
        with storage_errors():
            layout.episode(ep_id).mkdir(parents=True, exist_ok=True)  # it may have runs alone
        return _change(layout, layout.about(ep_id), change)


def change_run(layout: Layout, ep_id: str, run_id: str, change: RunChange) -> About:
    """The same for a run.

    Raises:
        RunNotFound: there is no such run.
        StorageFailed: it cannot be written.
    """
    files = layout.run(ep_id, run_id)
    with tree_lock(layout):
        if not files.manifest.is_file():
            raise no_such_run(ep_id, run_id)
        return _change(layout, files.about, change)


@contextmanager
def tree_lock(layout: Layout) -> Iterator[None]:
    """Held for the moment in which folders of episodes and runs are named, moved or filled."""
    with storage_errors():
        layout.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(layout.upload_lock):
        yield


def _change(layout: Layout, path: Path, change: RunChange) -> About:
    given = change.model_dump(include=change.model_fields_set)
    given = {name: None if value == "" else value for name, value in given.items()}
    about = read_about(layout, path).model_copy(update=given)
    with storage_errors():
        write_json(path, about.model_dump(), durable=True)
    return about
