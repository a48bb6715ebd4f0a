"""What browsers are taken to play, and what is made of what they do not."""

from __future__ import annotations

from typing import Any

import pytest

from apps.common.contracts.media import AudioFacts, MediaFacts
from apps.common.media_types import UNKNOWN, media_type
from apps.results.playability import as_proxy, mime_of, mime_to_be, plan_for

TAGS = {
    "h264": "avc1.64001f", "vp8": "vp8", "vp9": "vp09.00.10.08", "av1": "av01.0.00M.08",
    "aac": "mp4a.40.2", "mp3": "mp3", "opus": "opus", "vorbis": "vorbis", "flac": "flac",
}  # fmt: skip


def facts(
    kind: str = "mp4", codec: str = "h264", sound: str | None = "aac", **changes: Any
) -> MediaFacts:
    audio = None
    if sound is not None:
        audio = AudioFacts(
            codec=sound, tag=TAGS.get(sound), channels=2, sample_rate=48_000, stream=1
        )
    found: dict[str, Any] = {
        "media_type": kind if "/" in kind else f"video/{kind}",
        "codec": codec,
        "tag": TAGS.get(codec),
        "profile": "High" if codec == "h264" else None,
        "pixels": "yuv420p",
        "width": 1280,
        "height": 720,
        "stream": 0,
        "audio": audio,
    }
    return MediaFacts(**{**found, **changes})


@pytest.mark.parametrize("sound", ["aac", "mp3", "opus", "flac", None])
@pytest.mark.parametrize("kind", ["mp4", "quicktime", "3gpp"])
@pytest.mark.parametrize("codec", ["h264", "vp9", "av1"])
def test_mp4_is_played_itself(kind: str, codec: str, sound: str | None) -> None:
    found = facts(kind, codec, sound)
    assert plan_for(found).kind == "source"
    tags = ", ".join(TAGS[one] for one in (codec, sound) if one is not None)
    assert mime_of(found) == f'video/mp4; codecs="{tags}"'


@pytest.mark.parametrize("sound", ["opus", "vorbis", None])
@pytest.mark.parametrize("codec", ["vp8", "vp9", "av1"])
def test_webm_is_played_itself(codec: str, sound: str | None) -> None:
    found = facts("webm", codec, sound)
    assert plan_for(found).kind == "source"
    assert mime_of(found).startswith('video/webm; codecs="')


@pytest.mark.parametrize(
    ("codec", "changes"),
    [
        ("h264", {"profile": "High 10", "pixels": "yuv420p10le"}),
        ("h264", {"profile": "High 4:2:2", "pixels": "yuv422p"}),
        ("h264", {"profile": "High 4:4:4 Predictive", "pixels": "yuv444p"}),
        ("h264", {"profile": "High 10"}),  # of eight bits: players go by the profile
        ("h264", {"profile": "Extended"}),
        ("hevc", {}), ("mpeg2video", {}), ("mpeg4", {}), ("vc1", {}), ("wmv3", {}),
        ("theora", {}), ("mjpeg", {}), ("prores", {"pixels": "yuv422p10le"}), ("gif", {}),
        ("h264", {"interlaced": True}), ("h264", {"mirrored": True}),
        ("h264", {"turned_by_pictures": True, "rotation": 90}),
        ("vp9", {"pixels": "yuv444p"}), ("av1", {"pixels": "yuv420p12le"}),
    ],
)  # fmt: skip
def test_pictures_that_are_encoded_again(codec: str, changes: dict[str, Any]) -> None:
    found = facts("mp4", codec, "aac", **changes)
    plan = plan_for(found)
    assert (plan.kind, plan.ending, plan.audio) == ("proxy", "mp4", "copy")
    assert plan.why is not None
    assert plan.why.endswith(".")
    assert plan.deinterlace == changes.get("interlaced", False)
    assert mime_to_be(found, plan) == 'video/mp4; codecs="avc1.640020, mp4a.40.2"'


@pytest.mark.parametrize("kind", ["x-matroska", "mp2t", "x-flv", "x-msvideo", "mpeg"])
@pytest.mark.parametrize(
    ("codec", "sound", "ending", "audio"),
    [
        ("h264", "aac", "mp4", "copy"), ("h264", "mp3", "mp4", "copy"), ("h264", None, "mp4", None),
        ("h264", "ac3", "mp4", "encode"), ("h264", "dts", "mp4", "encode"),
        ("h264", "vorbis", "mp4", "encode"), ("h264", "pcm_s16le", "mp4", "encode"),
        ("vp9", "opus", "webm", "copy"), ("vp9", "aac", "mp4", "copy"), ("av1", None, "webm", None),
        ("av1", "eac3", "mp4", "encode"),
    ],
)  # fmt: skip
def test_pictures_that_go_into_another_container(
    kind: str, codec: str, sound: str | None, ending: str, audio: str | None
) -> None:
    plan = plan_for(facts(kind, codec, sound))
    assert (plan.kind, plan.ending, plan.audio) == ("remuxed", ending, audio)
    assert plan.why is not None
    again = as_proxy(plan, "It cannot be copied.")
    assert (again.kind, again.ending, again.why) == ("proxy", "mp4", "It cannot be copied.")


@pytest.mark.parametrize("sound", ["ac3", "eac3", "dts", "alac", "pcm_s16le", "mp2", "vorbis"])
def test_mp4_with_other_sound_has_that_encoded(sound: str) -> None:
    found = facts("mp4", "h264", sound)
    plan = plan_for(found)
    assert (plan.kind, plan.audio) == ("remuxed", "encode")
    assert sound in (plan.why or "")
    assert mime_to_be(found, plan) == 'video/mp4; codecs="avc1.64001f, mp4a.40.2"'


def test_turned_pictures() -> None:
    """Browsers turn those of MP4 files."""
    assert plan_for(facts("mp4", rotation=90)).kind == "source"
    assert plan_for(facts("quicktime", rotation=180)).kind == "source"
    assert plan_for(facts("x-matroska", rotation=90)).kind == "proxy"
    assert plan_for(facts("mp4", sound="ac3", rotation=90)).kind == "remuxed"


def test_other_video_streams_and_vp8_elsewhere() -> None:
    assert plan_for(facts(is_first=False)).kind == "remuxed"
    assert plan_for(facts("x-matroska", "vp8", "vorbis")).kind == "proxy"
    assert plan_for(facts("mp4", "vp8", None)).kind == "proxy"
    assert plan_for(facts(UNKNOWN, "h264", None)).kind == "remuxed"  # a raw stream


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypisom\0\0\2\0", "video/mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "video/quicktime"),
        (b"\0\0\0\x14ftyp3gp5", "video/3gpp"),
        (b"\0\0\0\x08wide\0\0", "video/quicktime"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm", "video/webm"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", "video/x-matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
        (b"RIFF\0\0\0\0WAVEfmt ", UNKNOWN),
        (b"OggS\0", "video/ogg"),
        (b"FLV\1\5", "video/x-flv"),
        (b"\0\0\1\xba\x44", "video/mpeg"),
        (b"\0\0\1\xb3\x44", "video/mpeg"),
        ((b"G" + b"\0" * 187) * 5, "video/mp2t"),
        ((b"\0\0\0\0G" + b"\0" * 187) * 5, "video/mp2t"),
        (b"GIF89a", "image/gif"),
        (b"<!doctype html><script>alert(1)</script>", UNKNOWN),
        (b"GGGG", UNKNOWN),
        (b"", UNKNOWN),
        (b"#EXTM3U\n", UNKNOWN),
    ],
)
def test_the_kind_of_a_file_is_that_of_its_content(head: bytes, kind: str) -> None:
    assert media_type(head) == kind
