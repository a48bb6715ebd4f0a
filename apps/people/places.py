"""Where data of people may lie: in the runs of episodes, and in what was deleted of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from apps.common.contracts.manifest import RunManifest
from apps.common.errors import RunNotFound, TrashNotFound
from apps.common.files import entries_of
from apps.common.layout import Layout, RunFiles
from apps.common.names import check_run_id, is_name
from apps.runs.store import list_runs, read_completed
from apps.runs.trash_entries import RUN_PART, RUNS_PART, Deleted, read_entry


@dataclass(frozen=True)
class DeletedEpisode(Layout):
    """A deleted episode's runs and log, where they lie in the trash.

    Args:
        folder: of the entry.
    """

    folder: Path

    def manifests(self, _: str) -> Path:
        return self.folder / RUNS_PART


@dataclass(frozen=True)
class DeletedRun(Layout):
    """A deleted run; its episode's log is where it was.

    Args:
        folder: of the entry.
        run_id: the run.
    """

    folder: Path
    run_id: str

    def run(self, ep_id: str, run_id: str) -> RunFiles:
        here = check_run_id(run_id) == self.run_id
        return RunFiles(self.folder / RUN_PART) if here else super().run(ep_id, run_id)


@dataclass(frozen=True)
class Place:
    """An episode, or what was deleted of it.

    Args:
        layout: under which it is found.
        has_log: whether the log of corrections lies here.
        run_ids: of the completed ones here.
    """

    layout: Layout
    ep_id: str
    has_log: bool
    run_ids: tuple[str, ...]

    def runs(self) -> Iterator[RunManifest]:
        for run_id in self.run_ids:
            with suppress(RunNotFound):
                yield read_completed(self.layout, self.ep_id, run_id)

    def folders(self) -> list[Path]:
        """Where its files are, those of runs that did not complete as well."""
        if isinstance(self.layout, DeletedRun):
            return [self.layout.run(self.ep_id, self.layout.run_id).folder]
        return [self.layout.manifests(self.ep_id)]


def places_of_people(layout: Layout, ep_id: str) -> list[Place]:
    """Where an episode's people are: first where it is, then what is in the trash."""
    found = [Place(layout, ep_id, True, tuple(list_runs(layout, ep_id)))]
    for folder, entry in _deleted(layout):
        if entry.ep_id != ep_id:
            continue
        if entry.run_id is None:
            there: Layout = DeletedEpisode(layout.root, folder)
            found.append(Place(there, ep_id, True, tuple(list_runs(there, ep_id))))
        else:
            there = DeletedRun(layout.root, folder, entry.run_id)
            found.append(Place(there, ep_id, False, (entry.run_id,)))
    return found


def all_episodes(layout: Layout) -> list[str]:
    """Names of the episodes of which anything may be left, deleted ones too."""
    names = {path.name for path in entries_of(layout.all_manifests) if is_name(path.name)}
    return sorted(names | {entry.ep_id for _, entry in _deleted(layout)})


def _deleted(layout: Layout) -> Iterator[tuple[Path, Deleted]]:
    for folder in sorted(entries_of(layout.trash)):
        with suppress(TrashNotFound):
            yield folder, read_entry(layout, folder)
