"""What a caller must be told of a run that has gone through its video. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from apps.common.config import TrackConfig
from apps.common.contracts.manifest import DecodingFacts
from apps.common.errors import VideoUnreadable
from apps.common.options import EXPECTED_DECODED, DecoderChoice

_FEWEST_DECODED = 0.5  # of the frames to process, below it a run fails


def refuse_ruins(done: int, wanted: int) -> None:
    """Refuses a run of which there is too little.

    Args:
        done: frames that were processed.
        wanted: frames that were to be.

    Raises:
        VideoUnreadable: so few of the frames could be decoded that the results say nothing.
    """
    if done < _FEWEST_DECODED * wanted:
        raise VideoUnreadable(
            f"Only {done} of the {wanted} frames to process could be decoded.",
            hint="The video is damaged or encrypted: check it in a player, then copy or record "
            "it again.",
            frames_done=done,
            frames_total=wanted,
        )


def video_warnings(
    unusual: Sequence[str], done: int, wanted: int, counts: Mapping[str, int], *, is_truncated: bool
) -> Iterator[str]:
    """What is wrong with the video.

    Args:
        unusual: what was seen when it was opened.
        done, wanted: as in `refuse_ruins`.
        counts: of packets that the decoder refused (`damaged_packets`), and of groups of pictures
            in which it met damage (`damaged_groups`).
        is_truncated: it ends before all frames that it announces.
    """
    yield from unusual
    if counts["damaged_packets"] > 0:
        yield f"{counts['damaged_packets']} damaged packets were skipped."
    groups = counts["damaged_groups"]
    if groups > 0:
        places = "one place" if groups == 1 else f"{groups} places"
        yield f"The video is damaged in {places}: the decoder made up what is missing of pictures."
    missing = wanted - done
    if missing > 0:
        share = f"{missing} of the {wanted} frames to process could not be decoded."
        is_much = done < EXPECTED_DECODED * wanted
        yield f"Much of the video is missing: {share}" if is_much else share
    if is_truncated:
        yield "The video file ends in the middle; what there is was processed."


def decoding_warning(facts: DecodingFacts, asked: DecoderChoice) -> str | None:
    """What became of the hardware that was asked for; None where all is as asked."""
    if facts.lost is not None:
        return f"The hardware decoder did not last, and software went on: {facts.lost}"
    if asked != "hardware" or facts.device is not None:
        return None
    why = "; ".join(facts.refused) or "there is no device that this build knows"
    return f"No hardware decodes this video, software did: {why}."


def trackless_warning(
    detections: int, tracks: int, config: TrackConfig, det_thresh: float, stride: int
) -> str | None:
    """Why faces were found and none of them became a track; None where one did.

    Args:
        detections, tracks: how many there are.
        config: the tracker's thresholds, which the message names.
        det_thresh: the option: least confidence of a detection, 0..1.
        stride: frames from one processed frame to the next, >= 1.
    """
    if detections == 0 or tracks > 0:
        return None
    return (
        f"{detections} detections but no track: detections start a track from confidence "
        f"{config.activation_threshold:g}, and one alone is a track from "
        f"{config.single_confidence:g}, else it needs a second sighting within "
        f"{config.lost_seconds:g} s; the detection threshold is {det_thresh:g} and the stride "
        f"{stride}."
    )
