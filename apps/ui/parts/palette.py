"""The colours of tracks: box, bar, row and face have one, by the track's number alone.

Each has a contrast of 3:1 or more to the backgrounds of both themes, and neighbours in the list are
far from each other. They are of the colour space OKLCH, with three luminances in turn.
"""

from __future__ import annotations

COLOURS = (
    *("#d90173", "#887f02", "#0d98aa", "#ad2edb", "#bb6802", "#009e72", "#445cfe", "#f70254"),
    *("#7d9402", "#077999", "#d332cc", "#bb7e04", "#027e6e", "#7c64fe", "#ff4330", "#407e02"),
    *("#0184c3", "#f537b7", "#896c04", "#048b8c", "#a868ff", "#bc4d04", "#069042", "#1e8afe"),
)
