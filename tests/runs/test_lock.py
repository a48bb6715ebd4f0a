"""One run at a time for an episode, between real processes (traps 3 and 5)."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from apps.common.contracts.manifest import ExecutionMode, Holder
from apps.common.errors import EpisodeBusy, InvalidInput, StorageFailed
from apps.common.layout import Layout
from apps.runs.lock import busy_error, current_holder, episode_lock, is_held
from tests.support.holding import Hold, holding

SINCE = "2026-01-02T03:04:05.000+00:00"


def holder_of(ep_id: str = "test-ep", run_id: str = "r1", mode: ExecutionMode = "local") -> Holder:
    return Holder(
        ep_id=ep_id, run_id=run_id, execution_mode=mode, pid=os.getpid(), host="here", since=SINCE
    )


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def hold(layout: Layout) -> Iterator[Hold]:
    """Starts a process that holds an episode until its input ends."""
    with holding(layout) as start:
        yield start


@pytest.mark.parametrize(
    ("mode", "words"),
    [("local", "direct"), ("redis", "queued"), ("sse", "SSE"), ("cli", "command line")],
)
def test_the_second_learns_who_holds_it(
    layout: Layout, hold: Hold, mode: ExecutionMode, words: str
) -> None:
    first = holder_of(mode=mode)
    hold(first)

    with pytest.raises(EpisodeBusy) as caught, episode_lock(layout, holder_of(run_id="r2")):
        pytest.fail("two runs hold one episode")

    error = caught.value
    assert all(word in error.detail for word in ("test-ep", words, "r1", SINCE))
    assert error.extra == {"execution_mode": mode, "run_id": "r1", "since": SINCE}
    assert current_holder(layout, "test-ep") == first  # the loser changed nothing


def test_it_is_free_after_the_block_and_the_holder_file_gone(layout: Layout, hold: Hold) -> None:
    process = hold(holder_of())
    assert layout.holder("test-ep").exists()
    process.communicate("")

    assert process.returncode == 0
    assert not layout.holder("test-ep").exists()
    assert not is_held(layout, "test-ep")
    assert current_holder(layout, "test-ep") is None
    with episode_lock(layout, holder_of(run_id="r2")):
        pass


def test_it_is_free_after_an_error_in_the_block(layout: Layout) -> None:
    with pytest.raises(KeyError), episode_lock(layout, holder_of()):
        raise KeyError

    assert not layout.holder("test-ep").exists()
    assert not is_held(layout, "test-ep")


def test_kill_9_frees_it(layout: Layout, hold: Hold) -> None:
    process = hold(holder_of())
    assert is_held(layout, "test-ep")

    process.send_signal(signal.SIGKILL)
    process.wait(10)

    assert layout.holder("test-ep").exists()  # nobody could remove it ...
    assert not is_held(layout, "test-ep")
    assert current_holder(layout, "test-ep") is None  # ... and nobody believes it
    second = holder_of(run_id="r2")
    with episode_lock(layout, second):
        assert json.loads(layout.holder("test-ep").read_text()) == second.model_dump()


def test_a_stopped_process_still_holds_it(layout: Layout, hold: Hold) -> None:
    """Unlike a lock with an expiry: no pause, however long, lets a second run in (trap 5)."""
    process = hold(holder_of())
    process.send_signal(signal.SIGSTOP)
    os.utime(layout.lock("test-ep"), (0, 0))
    os.utime(layout.shown_lock("test-ep"), (0, 0))
    os.utime(layout.holder("test-ep"), (0, 0))

    assert is_held(layout, "test-ep")
    with pytest.raises(EpisodeBusy), episode_lock(layout, holder_of(run_id="r2")):
        pass


def test_nobody_waits_for_a_lock(
    layout: Layout, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(holder_of())
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))

    assert is_held(layout, "test-ep")
    with pytest.raises(EpisodeBusy), episode_lock(layout, holder_of(run_id="r2")):
        pass


def test_asking_creates_nothing(layout: Layout) -> None:
    assert not is_held(layout, "test-ep")
    assert current_holder(layout, "test-ep") is None

    assert list(layout.root.iterdir()) == []


def test_readers_do_not_take_each_other_for_a_run(layout: Layout) -> None:
    """Many pages ask about one free episode at once; none may be told that it is running."""
    with episode_lock(layout, holder_of()):
        pass
    wrong: list[bool] = []

    def read() -> None:
        wrong.extend(held for _ in range(1000) if (held := is_held(layout, "test-ep")))

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert len(wrong) == 0


def test_readers_do_not_keep_a_run_out(layout: Layout) -> None:
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            is_held(layout, "test-ep")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for n in range(20):
            with episode_lock(layout, holder_of(run_id=f"r{n}")):
                pass
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def test_episodes_do_not_disturb_each_other(layout: Layout, hold: Hold) -> None:
    one = hold(holder_of("ep-1", "r1"))
    hold(holder_of("ep-2", "r2", "redis"))

    one.communicate("")

    assert not is_held(layout, "ep-1")
    held = current_holder(layout, "ep-2")
    assert held is not None
    assert (held.run_id, held.execution_mode) == ("r2", "redis")
    with episode_lock(layout, holder_of("ep-3", "r3")):
        assert is_held(layout, "ep-2")


GARBAGE = [
    b"",
    b"{",
    b"[]",
    b"\xff\0",
    b'{"run_id": 3}',
    b'{"execution_mode": ["local"], "run_id": {}, "since": [1]}',
    b'{"execution_mode": "telepathy", "since": null}',
    b"[" * 100_000,
]


def test_a_garbage_holder_file_breaks_nothing(layout: Layout, hold: Hold) -> None:
    process = hold(holder_of())
    for data in GARBAGE:
        layout.holder("test-ep").write_bytes(data)
        assert is_held(layout, "test-ep")
        assert current_holder(layout, "test-ep") is None, data[:24]
        error = busy_error(layout, "test-ep")
        assert "test-ep" in error.detail
        json.dumps(error.to_dict())
        with pytest.raises(EpisodeBusy), episode_lock(layout, holder_of(run_id="r2")):
            pass

    process.communicate("")
    assert process.returncode == 0
    assert not layout.holder("test-ep").exists()


def test_a_missing_holder_file_breaks_nothing(layout: Layout, hold: Hold) -> None:
    process = hold(holder_of())
    layout.holder("test-ep").unlink()

    assert current_holder(layout, "test-ep") is None
    assert busy_error(layout, "test-ep").extra == {}
    process.communicate("")
    assert process.returncode == 0


def test_a_holder_of_a_newer_version_is_read(layout: Layout, hold: Hold) -> None:
    hold(holder_of())
    layout.holder("test-ep").write_text(json.dumps({**holder_of().model_dump(), "new": 1}))

    assert current_holder(layout, "test-ep") == holder_of()


def test_no_folder_for_locks_is_a_storage_error(layout: Layout) -> None:
    layout.lock("test-ep").parent.write_text("a file where the folder should be")

    with pytest.raises(StorageFailed), episode_lock(layout, holder_of()):
        pass


def test_an_unwritable_holder_file_gives_the_lock_back(layout: Layout) -> None:
    layout.holder("test-ep").mkdir(parents=True)

    with pytest.raises(StorageFailed), episode_lock(layout, holder_of()):
        pytest.fail("the run started though nobody can learn who runs")

    assert not is_held(layout, "test-ep")


@pytest.mark.parametrize("name", ["../x", "", "a/b"])
def test_illegal_names(layout: Layout, name: str) -> None:
    for ask in (is_held, current_holder, busy_error):
        with pytest.raises(InvalidInput):
            ask(layout, name)
    with pytest.raises(ValidationError):
        holder_of(name)
    unchecked = holder_of("test-ep").model_copy(update={"ep_id": name})
    with pytest.raises(InvalidInput), episode_lock(layout, unchecked):
        pass

    assert list(layout.root.iterdir()) == []
