"""Nobody looks for garbage while a program loads its modules, and afterwards somebody does."""

from __future__ import annotations

import gc

import pytest

from apps.common.loading import begin_loading, end_loading, loading


def test_nobody_looks_within_the_block_alone() -> None:
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_block_that_fails_ends_it_too() -> None:
    with pytest.raises(ImportError), loading():
        raise ImportError
    assert gc.isenabled()


def test_what_was_loaded_is_not_looked_at_again() -> None:
    begin_loading()
    kept = gc.get_freeze_count()
    end_loading()
    assert gc.get_freeze_count() > kept


def test_an_end_without_a_beginning_changes_nothing() -> None:
    """A service that somebody starts in a process of their own leaves their objects alone."""
    kept = gc.get_freeze_count()
    end_loading()
    assert gc.isenabled()
    assert gc.get_freeze_count() <= kept
