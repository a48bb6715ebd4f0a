"""What a packet holds, read from the first bytes of its pictures, without decoding them.

Packets are not pictures. One picture may come in two packets (fields of H.264 and MPEG-2), a packet
may hold one that is never shown (alternate references of VP8), or none at all (parameter sets, a
"not coded" picture). A reader per codec tells which, where a picture belongs in display order, and
which packets carry parameters that the decoder must not miss.
"""

from __future__ import annotations

from apps.pipeline.decode.bitstream.av1 import Av1Reader
from apps.pipeline.decode.bitstream.base import Coded, PacketReader, Part, PlainReader
from apps.pipeline.decode.bitstream.h264 import H264Reader
from apps.pipeline.decode.bitstream.hevc import HevcReader
from apps.pipeline.decode.bitstream.mpeg2 import Mpeg2Reader
from apps.pipeline.decode.bitstream.mpeg4 import Mpeg4Reader
from apps.pipeline.decode.bitstream.vc1 import Vc1Reader
from apps.pipeline.decode.bitstream.vpx import Vp8Reader, Vp9Reader

__all__ = ["Coded", "PacketReader", "Part", "packet_reader"]


def packet_reader(
    codec: str, extradata: bytes | None, *, reorders: bool, is_intra: bool = False
) -> PacketReader:
    """A reader for one stream.

    Args:
        codec: FFmpeg's name of it, e.g. "h264".
        extradata: the container's parameter sets, where it has any.
        reorders: pictures of this codec may be shown in another order than they are coded in.
        is_intra: they never refer to each other.
    """
    known = extradata or b""
    match codec:
        case "h264":
            return H264Reader(known)
        case "hevc":
            return HevcReader(known)
        case "mpeg1video" | "mpeg2video":
            return Mpeg2Reader(known)
        case "mpeg4":
            return Mpeg4Reader(known)
        case "vp8":
            return Vp8Reader()
        case "vp9":
            return Vp9Reader()
        case "av1" | "libdav1d" | "libaom-av1":
            return Av1Reader(known)
        case "vc1":
            return Vc1Reader(known)
        case _:
            return PlainReader(reorders=reorders, is_intra=is_intra)
