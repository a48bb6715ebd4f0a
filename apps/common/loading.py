"""Modules are loaded without looking for garbage meanwhile.

Python looks again and again while many objects come into being. Of a program that loads its
modules all of them stay: the web service would spend a fifth of its start on the search.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def begin_loading() -> None:
    """From here on nobody looks for garbage, until `end_loading`."""
    gc.disable()


def end_loading() -> None:
    """What is there stays, and is not looked at again. Without `begin_loading` nothing changes."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


@contextmanager
def loading() -> Iterator[None]:
    """Both, around a block."""
    begin_loading()
    try:
        yield
    finally:
        end_loading()
