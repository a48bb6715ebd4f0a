"""Whether a run in parts is the same, to the byte, as a whole one: by codec, stride and count.

Every run and every part is a process of its own, as by the command line. What is compared is every
file of results, but for the times in `track_metrics.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
from av.video.stream import VideoStream

from apps.common.layout import Layout
from lab import arguments as values
from lab.processes.service import run_cli

OF_TIME = ("elapsed_sec", "analyzed_fps")  # of track_metrics.json
_CLOSED: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "mp4", {"preset": "veryfast", "bf": "2", "x264-params": "keyint=12"}),
    "hevc": (
        "libx265",
        "mp4",
        {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=0:keyint=12"},
    ),
    "vp9": ("libvpx-vp9", "webm", {"deadline": "realtime", "cpu-used": "8", "g": "12"}),
    "mpeg2": (
        "mpeg2video",
        "mpg",
        {"flags": "+cgop", "bf": "2", "g": "12", "b": "4M", "sc_threshold": "1000000000"},
    ),
}


@dataclass(frozen=True)
class Episode:
    """A video in a data root of its own."""

    root: Path
    stride: int

    def run(self, run_id: str, *more: str) -> dict[str, bytes]:
        """The results of a run, by name."""
        self._do("--run-id", run_id, *more)
        return results(self.root, run_id)

    def parts(self, count: int) -> list[Path]:
        """Files of all parts of a video that has so many."""
        paths = [self.root / f"{number}-of-{count}.part" for number in range(1, count + 1)]
        for number, path in enumerate(paths, 1):
            self._do("--part", f"{number}/{count}", "--part-file", str(path))
        return paths

    def _do(self, *arguments: str) -> None:
        ended = run_cli(
            self.root,
            *("--ep-id", "show", "--stride", str(self.stride), "--fps", "1000"),
            *("--device", "cpu", "--detector", "centerface", "--det-size", "320", "--people"),
            *arguments,
        )
        if ended.returncode != 0:
            raise subprocess.SubprocessError(ended.stderr)


def results(root: Path, run_id: str, ep_id: str = "show") -> dict[str, bytes]:
    """All files of a run's results, as far as they do not tell of time."""
    files = Layout(root).run(ep_id, run_id)
    found = {
        path.relative_to(files.folder).as_posix(): path.read_bytes()
        for path in sorted(files.folder.rglob("*"))
        if path.is_file() and path not in (files.manifest, files.progress, files.log)
    }
    metrics = json.loads(found.pop("track_metrics.json"))
    timeless = {name: value for name, value in metrics.items() if name not in OF_TIME}
    return {**found, "track_metrics.json": json.dumps(timeless).encode()}


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Names of files that are not the same in both."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def write_closed(source: Path, folder: Path, codec: str, frames: int) -> None:
    """Encodes the beginning of a video with a closed group of twelve pictures after the other."""
    encoder, ending, options = _CLOSED[codec]
    folder.mkdir(parents=True)
    with av.open(str(source)) as read, av.open(str(folder / f"episode.{ending}"), "w") as written:
        images = [
            frame.to_ndarray(format="rgb24")
            for frame in itertools.islice(read.decode(video=0), frames)
        ]
        stream = cast("VideoStream", written.add_stream(encoder, rate=24, options=options))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            written.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        written.mux(stream.encode())


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("video", type=Path, help="its beginning is encoded anew, with closed groups")
    p.add_argument("--frames", type=values.positive, default=252)
    p.add_argument("--codecs", default=",".join(_CLOSED), help="default: %(default)s")
    p.add_argument("--strides", type=values.strides, default=(1, 5, 6, 12), metavar="1,6")
    p.add_argument("--parts", type=values.strides, default=(2, 3, 7, 20), metavar="2,7")
    asked = p.parse_args()
    worst = 0
    print("| codec | stride | tracks | " + " | ".join(f"{n} parts" for n in asked.parts) + " |")
    print("|---|---:|---:|" + "---|" * len(asked.parts))
    for codec, stride in itertools.product(asked.codecs.split(","), asked.strides):
        with tempfile.TemporaryDirectory() as folder:
            episode = Episode(Path(folder) / "data", stride)
            write_closed(asked.video, episode.root / "videos" / "show", codec, asked.frames)
            cells = _compared(episode, asked.parts)
        worst += sum(cell != "same" for cell in cells[1:])
        print(f"| {codec} | {stride} | " + " | ".join(cells) + " |", flush=True)
    return int(worst > 0)


def _compared(episode: Episode, counts: Sequence[int]) -> list[str]:
    whole = episode.run("whole")
    cells = [str(len(whole["tracks.jsonl"].splitlines()))]
    for count in counts:
        paths = episode.parts(count)
        found = differing(whole, episode.run(f"of-{count}", "--parts", *map(str, paths)))
        cells.append(", ".join(found) or "same")
        for path in paths:
            path.unlink()
    shutil.rmtree(episode.root)
    return cells


if __name__ == "__main__":
    sys.exit(main())
