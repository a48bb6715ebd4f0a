"""A long video without encoding one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av


def repeated(source: Path, target: Path, times: int) -> Path:
    """The same coded pictures again and again; nothing is encoded."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        packets = [packet for packet in read.demux(stream) if packet.size > 0]
        first = min(packet.dts for packet in packets)
        length = packets[-1].dts - first + packets[-1].duration
        for number in range(times):
            read.seek(0)
            for packet in read.demux(stream):
                if packet.size == 0:
                    continue
                packet.pts += number * length
                packet.dts += number * length
                packet.time_base = stream.time_base or Fraction(1)
                packet.stream = copy
                written.mux(packet)
    return target
