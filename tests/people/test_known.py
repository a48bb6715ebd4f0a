"""What was read is kept: made once, however many ask, and not too much of it."""

from __future__ import annotations

import threading

import pytest

from apps.people.known import Memory

THREADS = 4


def test_of_many_at_once_one_makes_it() -> None:
    memory, made, found = Memory[int](2), list[int](), list[int]()
    all_there = threading.Barrier(THREADS)

    def make() -> int:
        made.append(1)
        return 7

    def ask() -> None:
        all_there.wait()
        found.append(memory.of("key", make))

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, made) == ([7] * THREADS, [1])


def test_what_was_asked_for_last_is_kept() -> None:
    memory, made = Memory[str](2), list[str]()

    def of(key: str) -> str:
        return memory.of(key, lambda: (made.append(key), key)[1])

    for key in ("a", "b", "a", "c", "a", "b"):
        assert of(key) == key
    assert made == ["a", "b", "c", "b"]


def test_what_failed_is_tried_again() -> None:
    memory = Memory[int](1)
    with pytest.raises(OSError, match="gone"):
        memory.of("key", _fail)
    assert memory.of("key", lambda: 3) == 3


def _fail() -> int:
    raise OSError("gone")
