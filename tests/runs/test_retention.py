"""Old runs go by a policy, and nothing else does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apps.common.contracts.manifest import Holder, RunStatus
from apps.common.errors import EpisodeBusy
from apps.common.files import read_json, write_json
from apps.common.layout import Layout
from apps.common.library_schemas import EpisodeChange, RunChange
from apps.common.names import comparison_run_id
from apps.common.retention_schemas import RetentionPolicy
from apps.runs.about import change_episode, change_run
from apps.runs.lock import episode_lock
from apps.runs.record import RunRecord
from apps.runs.retention import prune_episode, pruned_runs, surplus_runs
from apps.runs.store import list_runs
from apps.runs.trash import delete_run, restore
from apps.runs.trash_entries import in_trash
from lab.specs import spec_of
from tests.support.holding import holding

OF_COMPARISON = comparison_run_id("20261128T090000-0a1b2c", 1, "local")
NEWEST = "d5"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An episode with a run a day: d0 is 50 days old, d5 45; two of them have failed."""
    layout = Layout(tmp_path)
    layout.episode("show").mkdir(parents=True)
    for day, status in enumerate(
        ("completed", "failed", "completed", "completed", "cancelled", "completed")
    ):
        add(layout, f"d{day}", 50 - day, status)  # type: ignore[arg-type]
    return layout


def add(layout: Layout, run_id: str, days: float, status: RunStatus, ep_id: str = "show") -> None:
    """A run that began so many days ago, and took a minute."""
    spec = spec_of(layout.root, ep_id, run_id)
    record = RunRecord(layout, spec, {})
    record.end(status, "It ended.")
    if status == "completed":
        record.point_latest()
    (record.files.folder / "detections.jsonl").write_bytes(b"x" * 1000)
    began = datetime.now(UTC) - timedelta(days=days)
    times = {
        "started_at": began.isoformat(timespec="milliseconds"),
        "finished_at": (began + timedelta(minutes=1)).isoformat(timespec="milliseconds"),
    }
    write_json(record.files.manifest, {**(read_json(record.files.manifest) or {}), **times})


def going(layout: Layout, **policy: float) -> list[str]:
    return [run.run_id for run in surplus_runs(layout, RetentionPolicy.model_validate(policy))]


def test_without_a_policy_all_stay(layout: Layout) -> None:
    assert going(layout) == []
    assert going(layout, keep=100) == ["d4", "d1"]  # a newer one has completed
    assert going(layout, keep_days=100) == []


def test_what_goes(layout: Layout) -> None:
    assert going(layout, keep=1) == ["d4", "d3", "d2", "d1", "d0"]
    assert going(layout, keep=2) == ["d4", "d2", "d1", "d0"]
    assert going(layout, keep_days=0) == ["d4", "d3", "d2", "d1", "d0"]
    assert going(layout, keep_days=47.5) == ["d2", "d1", "d0"]
    assert going(layout, keep=3, keep_days=47.5) == ["d1", "d0"]
    [first, *_] = surplus_runs(layout, RetentionPolicy(keep=2, keep_days=1))
    assert first.why == "newer ones that have completed: 1 and it is older than 1 days"
    assert first.size_bytes > 1000


def test_what_stays_in_any_case(layout: Layout) -> None:
    change_run(layout, "show", "d2", RunChange(title="the good one"))
    add(layout, OF_COMPARISON, 60, "completed")
    add(layout, "failed-last", 1, "failed")
    write_json(layout.latest("show"), {"run_id": "d3"})  # it ended last
    assert going(layout, keep=1) == ["d4", "d1", "d0"]
    add(layout, "only", 400, "completed", "other")
    add(layout, "bad", 400, "failed", "third")
    layout.episode("third").mkdir(parents=True)
    assert going(layout, keep=1, keep_days=1) == ["d4", "d1", "d0"]


def test_one_that_is_on_stays_and_no_other_is_taken_meanwhile(layout: Layout) -> None:
    manifest = layout.run("show", "d3").manifest
    write_json(manifest, {**(read_json(manifest) or {}), "status": "running"})
    holder = Holder(
        ep_id="show", run_id="d3", execution_mode="local", pid=1, host="here", since="now"
    )
    with holding(layout) as hold:
        hold(holder)
        assert going(layout, keep=1) == ["d4", "d2", "d1", "d0"]
        with pytest.raises(EpisodeBusy):
            prune_episode(layout, "show", RetentionPolicy(keep=3), {})
    assert len(list_runs(layout, "show")) == 6
    assert pruned_runs(layout, "show") == []
    with episode_lock(layout, holder):
        pass


def test_they_lie_in_the_trash_and_what_is_restored_stays(layout: Layout) -> None:
    policy = RetentionPolicy(keep=2)
    gone, stay = prune_episode(layout, "show", policy, {})
    assert ([run.run_id for run in gone], stay) == (["d4", "d2", "d1", "d0"], [])
    assert list_runs(layout, "show") == ["d5", "d3"]
    went = pruned_runs(layout, "show")
    assert [run.run_id for run in went] == ["d4", "d2", "d1", "d0"]
    assert {run.trash_id for run in went} == {entry.trash_id for entry in in_trash(layout)}
    assert list(surplus_runs(layout, policy)) == []
    restore(layout, went[1].trash_id)
    assert list_runs(layout, "show") == ["d5", "d3", "d2"]
    assert list(surplus_runs(layout, policy)) == []


def test_a_log_that_is_damaged_or_leads_elsewhere_is_no_obstacle(
    layout: Layout, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret"
    elsewhere.write_text("a secret")
    layout.pruned("show").symlink_to(elsewhere)
    assert pruned_runs(layout, "show") == []
    assert going(layout, keep=2) == ["d4", "d2", "d1", "d0"]
    others = dict.fromkeys(("d2", "d1", "d0"), EpisodeBusy("a job waits"))
    [went], stay = prune_episode(layout, "show", RetentionPolicy(keep=2), others)
    assert went.run_id == "d4"  # it is in the trash, whether there is a line or not
    assert [(one.run_id, one.why) for one in stay] == [(name, "a job waits") for name in others]
    assert elsewhere.read_text() == "a secret"
    restore(layout, went.trash_id)
    assert going(layout, keep=2) == ["d2", "d1", "d0"], "what came back goes again"
    layout.pruned("show").unlink()
    layout.pruned("show").write_bytes(b'{"run_id": "d\xff\nnot a line\n')
    assert going(layout, keep=2) == ["d2", "d1", "d0"]


def test_the_newest_one_with_people_stays(layout: Layout) -> None:
    """By it other episodes may know somebody."""
    for run_id in ("d0", "d2"):
        layout.run("show", run_id).people.write_text("")
    assert going(layout, keep=1) == ["d4", "d3", "d1", "d0"]


def test_a_pinned_episode_keeps_all(layout: Layout) -> None:
    change_episode(layout, "show", EpisodeChange(pinned=True))
    assert going(layout, keep=1, keep_days=1) == []
    change_episode(layout, "show", EpisodeChange(pinned=False))
    assert going(layout, keep=1) == ["d4", "d3", "d2", "d1", "d0"]


def test_what_happened_since_somebody_looked_counts(layout: Layout) -> None:
    """The newest one was deleted meanwhile, another one got a title, and a third is gone."""
    policy = RetentionPolicy(keep=1)
    assert going(layout, keep=1) == ["d4", "d3", "d2", "d1", "d0"]
    delete_run(layout, "show", "d5")
    delete_run(layout, "show", "d1")
    change_run(layout, "show", "d2", RunChange(title="the good one"))
    gone, stay = prune_episode(layout, "show", policy, {})
    assert ([run.run_id for run in gone], stay) == (["d0"], [])  # d3 is the newest one now
    change_episode(layout, "show", EpisodeChange(pinned=True))
    assert prune_episode(layout, "show", RetentionPolicy(keep_days=0), {}) == ([], [])


def test_two_at_once_move_each_run_once(layout: Layout) -> None:
    """They wait for each other; for a run nobody waits."""
    for number in range(30):
        add(layout, f"more-{number}", 100 + number, "completed")
    write_json(layout.latest("show"), {"run_id": "d5"})
    policy = RetentionPolicy(keep=1)
    wanted = going(layout, keep=1)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(prune_episode, layout, "show", policy, {}) for _ in range(4)]
        answers = [one.result() for one in asked]
    assert sorted(run.run_id for gone, _ in answers for run in gone) == sorted(wanted)
    assert [stay for _, stay in answers] == [[], [], [], []]
    assert sorted(entry.run_id or "" for entry in in_trash(layout)) == sorted(wanted)
    assert list_runs(layout, "show") == ["d5"]
