"""Videos whose packets are damaged in the file."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import av


def copied(path: Path, target: Path) -> Path:
    """The same packets in another container."""
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return target


def damaged(path: Path, packets: Iterable[int], chance: random.Random) -> Path:
    """Writes over a piece of some packets of a file, in place.

    Args:
        path: of a container that stores each packet in one piece.
        packets: their numbers in the file's order.
    """
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    with path.open("r+b") as stream:
        for start, size in (places[number] for number in packets):
            first = chance.randrange(min(8, size - 1), size)
            length = chance.randrange(1, size - first + 1)
            stream.seek(start + first)
            stream.write(chance.choice([bytes(length), chance.randbytes(length)]))
    return path
