"""What is known of a video as a file: the first part of a run writes it, the others need not look.

Reading a video's index means reading the whole file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from apps.common.contracts.base import Readable
from apps.common.contracts.manifest import VideoFacts, VideoFile
from apps.common.errors import PartDamaged
from apps.common.files import storage_errors
from apps.common.layout import draft_of
from apps.common.version import source_fingerprint
from apps.pipeline.decode.container import beside_media, identified
from apps.pipeline.decode.index import FrameIndex
from apps.pipeline.decode.selection import PacketOrder
from apps.pipeline.decode.timeline import Timeline
from apps.pipeline.decode.video import KnownVideo
from apps.pipeline.geometry import Orientation
from apps.pipeline.parts.records import MISFITS, read_record, write_record


class _Head(Readable):
    """All but the arrays.

    Args:
        code: names the code that found it out.
        beside_media: see `beside_media`.
    """

    schema_version: Literal["video_v1"] = "video_v1"
    code: str
    video: VideoFile
    beside_media: list[tuple[int, int]] | None
    stream: int
    facts: VideoFacts
    warnings: list[str]
    ends_early: bool
    fps: float
    packets: int
    slots: int
    restarts: list[int]
    first_start: int
    held_back: int
    turned: dict[int, tuple[int, bool]]
    zero_s: float
    missing: int
    wrong: int
    jumps: list[int]
    unit: float


@dataclass(frozen=True)
class VideoNote:
    """What is known of a video.

    Args:
        file: what tells it from others.
        beside_media: see there.
    """

    file: VideoFile
    beside_media: Sequence[tuple[int, int]] | None
    known: KnownVideo


def write_known(path: Path, video: Path, known: KnownVideo) -> None:
    """Writes what is known of a video file; it appears as a whole.

    Raises:
        StorageFailed: the disk does not take it.
    """
    index, line = known.index, known.index.timeline
    head = _Head(
        code=source_fingerprint(),
        video=identified(video),
        beside_media=beside_media(video),
        stream=known.stream,
        facts=known.facts,
        warnings=list(known.warnings),
        ends_early=known.ends_early,
        fps=index.fps,
        packets=index.packets,
        slots=index.slots,
        restarts=sorted(index.restarts),
        first_start=index.first_start,
        held_back=index.held_back,
        turned={n: (each.turns, each.mirrored) for n, each in index.turned.items()},
        zero_s=index.zero_s,
        missing=line.missing,
        wrong=line.wrong,
        jumps=list(line.jumps),
        unit=line.unit,
    )
    order = index.order
    arrays: dict[str, NDArray[Any] | None] = {
        "seconds": line.seconds,
        "display": index.display,
        **{
            f"order_{field.name}": None if order is None else getattr(order, field.name)
            for field in fields(PacketOrder)
        },
        "places": index.places,
        "keys": index.keys,
    }
    there = {name: array for name, array in arrays.items() if array is not None}
    draft = draft_of(path, os.getpid())
    with storage_errors():
        try:
            with draft.open("wb") as stream:
                body = {"names": list(there), "video": head.model_dump(mode="json")}
                write_record(stream, body, list(there.values()))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def read_known(path: Path) -> VideoNote | None:
    """What another process has found out; None where there is nothing that this code can use."""
    with suppress(OSError, PartDamaged, *MISFITS), path.open("rb") as stream:
        found = read_record(stream)
        if found is None:
            return None
        body, arrays = found
        head = _Head.model_validate(body["video"])
        if head.code != source_fingerprint():
            return None
        known = _known(head, dict(zip(body["names"], arrays, strict=True)))
        return VideoNote(head.video, head.beside_media, known)
    return None


def _known(head: _Head, arrays: dict[str, NDArray[Any]]) -> KnownVideo:
    order = None
    if "order_display" in arrays:
        order = PacketOrder(*(arrays[f"order_{field.name}"] for field in fields(PacketOrder)))
    index = FrameIndex(
        timeline=Timeline(
            np.array(arrays["seconds"]), head.missing, head.wrong, tuple(head.jumps), head.unit
        ),
        fps=head.fps,
        packets=head.packets,
        slots=head.slots,
        display=arrays.get("display"),
        order=order,
        restarts=frozenset(head.restarts),
        first_start=head.first_start,
        held_back=head.held_back,
        turned={n: Orientation(*each) for n, each in head.turned.items()},
        zero_s=head.zero_s,
        places=arrays.get("places"),
        keys=arrays.get("keys"),
    )
    return KnownVideo(head.stream, index, head.facts, head.warnings, head.ends_early)
