"""Spans: where a video can be divided, since decoding can begin there. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from apps.pipeline.decode.groups import MAX_PACKETS
from apps.pipeline.decode.index import FrameIndex
from apps.pipeline.decode.selection import Span

# Glimpses between two samples are as many as there are pictures; from so many on the decoder keeps
# every second one only, and which these are depends on the frames before a span as well.
MAX_STRIDE = 32
_MIN_SAMPLES = 12  # of a short span: where one ends, decoders wait for each other


def starts(index: FrameIndex) -> list[tuple[int, int]]:
    """Packets where a closed group begins, and the number of the picture that is shown first."""
    if index.order is None:
        return [(0, 0)]
    packets = index.order.closed_starts()
    found = [(int(packet), int(index.order.display[packet])) for packet in packets]
    return [(0, 0), *(pair for pair in found if pair[1] > 0)]


def spans_from(index: FrameIndex, begins: Sequence[tuple[int, int]]) -> list[Span]:
    """The whole video, one span after the other.

    Args:
        begins: some of `starts`, the first one among them.
    """
    ends = [packet for packet, _ in begins[1:]]
    return [
        Span(first, packet, end)
        for (packet, first), end in zip(begins, [*ends, index.packets], strict=True)
    ]


def short_spans(index: FrameIndex, stride: int) -> list[Span]:
    """The whole video in spans of some seconds, for decoders that take turns.

    Args:
        stride: frames from one processed frame to the next, >= 1.

    Returns:
        None where a span would be so long that too much of it waits for the one before.
    """
    if stride > MAX_STRIDE:
        return []
    chosen: list[tuple[int, int]] = []
    for packet, first in starts(index):
        if not chosen or first - chosen[-1][1] >= min(_MIN_SAMPLES * stride, MAX_PACKETS // 2):
            chosen.append((packet, first))
    spans = spans_from(index, chosen)
    return spans if all(span.end - span.packet <= MAX_PACKETS for span in spans) else []
