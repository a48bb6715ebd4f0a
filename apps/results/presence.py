"""For how long a video has any face in sight, from the samples that have one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from apps.results.lanes import Samples


def seconds_with_faces(seen_s: Sequence[float], samples: Samples, missed_s: float) -> float:
    """Adds up what these samples stand for, each moment once.

    As seconds on the screen of a track are counted: samples of a video together stand for all of
    it, and a short interruption is the detector's fault.

    Args:
        seen_s: times of samples with a face, seconds, ascending.
        samples: how far each stands for the video around it.
        missed_s: the longest interruption that counts as well.
    """
    seconds, until = 0.0, -1e12
    for time_s in seen_s:
        begins, ends = samples.cut(time_s), samples.until(time_s)
        if begins - until <= missed_s:
            begins = until
        seconds += max(0.0, ends - begins)
        until = max(until, ends)
    return seconds
