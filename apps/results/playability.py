"""Whether browsers play a video file, and what is to be made of it where they do not. Pure.

What counts as played is what Chromium, Firefox and Safari have in common: what one of them lacks
(HEVC, AC-3, Matroska) is made into what all have.
"""

from __future__ import annotations

from apps.common.contracts.media import MediaFacts, PlayablePlan

_ISO = {"video/mp4", "video/quicktime", "video/3gpp"}
_EIGHT_BIT = {"yuv420p", "yuvj420p"}
_H264_PROFILES = {"Baseline", "Constrained Baseline", "Main", "High", "Progressive High"}
_PICTURES = {  # by codec: what all decode
    "h264": _EIGHT_BIT,
    "vp8": {"yuv420p"},
    "vp9": {"yuv420p", "yuv420p10le"},
    "av1": {"yuv420p", "yuv420p10le"},
}
_MP4_VIDEO, _WEBM_VIDEO = {"h264", "vp9", "av1"}, {"vp8", "vp9", "av1"}
_MP4_AUDIO, _WEBM_AUDIO = {"aac", "mp3", "opus", "flac"}, {"opus", "vorbis"}
PLAYED_SOUND = {"mp4": frozenset(_MP4_AUDIO), "webm": frozenset(_WEBM_AUDIO)}
"""Codecs of sound that browsers play, by ending of the file; others are encoded as AAC."""
_CONTAINERS = {
    **dict.fromkeys(_ISO, (_MP4_VIDEO, _MP4_AUDIO)),
    "video/webm": (_WEBM_VIDEO, _WEBM_AUDIO),
}
_PROXY_TAG, _AAC_TAG = "avc1.640020", "mp4a.40.2"  # High, level 3.2: 720 lines; AAC-LC


def plan_for(facts: MediaFacts) -> PlayablePlan:
    """What is to be played of a file: it, its streams in another container, or a proxy.

    Args:
        facts: of the file.
    """
    trouble = _trouble_of_pictures(facts)
    sound = facts.audio
    if trouble is not None:
        return PlayablePlan(
            kind="proxy",
            why=trouble,
            audio=_audio_for(facts, _MP4_AUDIO),
            deinterlace=facts.interlaced,
        )
    why = _trouble_of_file(facts)
    if why is None:
        return PlayablePlan(kind="source")
    webm = facts.codec in _WEBM_VIDEO and (sound is None or sound.codec in _WEBM_AUDIO)
    return PlayablePlan(
        kind="remuxed",
        why=why,
        ending="webm" if webm else "mp4",
        audio=_audio_for(facts, _WEBM_AUDIO if webm else _MP4_AUDIO),
    )


def as_proxy(plan: PlayablePlan, why: str) -> PlayablePlan:
    """The plan for a file whose pictures were to be copied, and cannot be.

    Args:
        why: a sentence.
    """
    return plan.model_copy(update={"kind": "proxy", "why": why, "ending": "mp4"})


def mime_of(facts: MediaFacts) -> str:
    """What `canPlayType` is asked about a file.

    A QuickTime file is called MP4, as which all browsers read it.
    """
    tags = [facts.tag, None if facts.audio is None else facts.audio.tag]
    kind = "video/mp4" if facts.media_type in _ISO else facts.media_type
    return _mime(kind, [tag for tag in tags if tag is not None])


def mime_to_be(facts: MediaFacts, plan: PlayablePlan) -> str:
    """About what a file will hold that is made by this plan."""
    video = facts.tag if plan.kind == "remuxed" else _PROXY_TAG
    audio = None
    if facts.audio is not None:
        audio = facts.audio.tag if plan.audio == "copy" else _AAC_TAG
    return _mime(f"video/{plan.ending}", [tag for tag in (video, audio) if tag is not None])


def _mime(kind: str, tags: list[str]) -> str:
    return f'{kind}; codecs="{", ".join(tags)}"' if tags else kind


def _trouble_of_pictures(facts: MediaFacts) -> str | None:
    """Why the pictures must be encoded again; None where they need not."""
    codec = facts.codec.upper().replace("H264", "H.264").replace("HEVC", "HEVC (H.265)")
    if facts.codec not in _PICTURES:
        return f"Browsers do not play {codec}, or not all of them."
    if facts.pixels not in _PICTURES[facts.codec]:
        return f"Browsers do not play {codec} with pictures of the kind {facts.pixels}."
    if facts.codec == "h264" and facts.profile not in _H264_PROFILES:
        return f"Browsers do not play {codec} of the profile {facts.profile}."
    if facts.codec == "vp8" and facts.media_type != "video/webm":
        return "Browsers play VP8 in WebM files only."
    if facts.interlaced:
        return "Its pictures are interlaced, which browsers show as combs."
    if facts.mirrored:
        return "Its pictures are to be mirrored, which not all browsers do."
    if facts.turned_by_pictures:
        return "Its coded pictures say how they are turned, which browsers pass over."
    if facts.rotation and facts.media_type not in _ISO:
        return "Its pictures are to be turned, which browsers do for MP4 files only."
    return None


def _trouble_of_file(facts: MediaFacts) -> str | None:
    """Why a file whose pictures are fine is not played; None where it is."""
    known = _CONTAINERS.get(facts.media_type)
    if known is None or facts.codec not in known[0]:
        return "Browsers do not play this kind of file, or not all of them."
    if not facts.is_first:
        return "Browsers would play another video stream of the file."
    if facts.audio is not None and facts.audio.codec not in known[1]:
        return f"Browsers do not play its sound ({facts.audio.codec})."
    return None


def _audio_for(facts: MediaFacts, played: set[str]) -> str | None:
    if facts.audio is None:
        return None
    return "copy" if facts.audio.codec in played else "encode"
