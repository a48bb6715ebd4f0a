"""What kind of file a video is, by how it begins: its name may say anything."""

from __future__ import annotations

HEAD_BYTES = 1024  # that are looked at
UNKNOWN = "application/octet-stream"
_TS_PACKETS = (188, 192, 204)  # bytes: ISO/IEC 13818-1, Blu-ray, with error correction
_ISO_BOXES = {b"moov", b"mdat", b"wide", b"free", b"skip"}  # of QuickTime files before `ftyp`
_STARTS = (
    (b"OggS", "video/ogg"),
    (b"FLV\x01", "video/x-flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
    (b"\x06\x0e\x2b\x34", "application/mxf"),
    (b"GIF8", "image/gif"),
)


def media_type(head: bytes) -> str:
    """The media type of a video file; one that no browser executes where it is none.

    Args:
        head: its first bytes, up to `HEAD_BYTES`.
    """
    box = head[4:8]
    if box == b"ftyp":
        brand = head[8:12]
        if brand == b"qt  ":
            return "video/quicktime"
        return "video/3gpp" if brand.startswith((b"3gp", b"3g2")) else "video/mp4"
    if box in _ISO_BOXES:
        return "video/quicktime"
    if head.startswith(b"\x1a\x45\xdf\xa3"):  # EBML; its document type is near the start
        return "video/webm" if b"\x42\x82\x84webm" in head[:64] else "video/x-matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "video/x-msvideo"
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    for size in _TS_PACKETS:
        first = 4 if size == 192 else 0
        syncs = head[first::size]
        if len(syncs) >= 3 and set(syncs) == {0x47}:
            return "video/mp2t"
    return UNKNOWN
