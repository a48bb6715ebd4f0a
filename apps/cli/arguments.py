"""Arguments of `tools/episode_run.py`. Standard library only: it runs before the CPU limits."""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = """exit codes:
  0 done                         5 model missing or broken
  2 bad arguments                6 another run holds the episode
  3 video missing or unreadable  129 its terminal was closed (SIGHUP; not under nohup)
  4 accelerator missing          130 interrupted (SIGINT), 143 terminated (SIGTERM)

InsightFace's weights (`retinaface`, recognition) are for non-commercial research only.
Every option that is left out comes from SCREENALYTICS_<OPTION>, then from the profile.
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="episode_run.py",
        description="Detect and track every face of one episode.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--ep-id", metavar="ID", help="name of the episode")
    p.add_argument("--video", type=Path, metavar="FILE", help="video, instead of the episode's own")
    p.add_argument("--data-root", type=Path, metavar="DIR", help="folder of videos and results")
    p.add_argument("--run-id", metavar="R", help="name of this run (default: time and a number)")
    run = p.add_argument_group("what to do")
    run.add_argument("--profile", metavar="P", help="low_power, balanced or performance")
    run.add_argument("--stride", type=int, metavar="N", help="process every n-th frame")
    run.add_argument("--fps", type=float, metavar="F", help="process at most F frames a second")
    run.add_argument("--device", metavar="D", help="auto, cpu, openvino, cuda or coreml")
    run.add_argument("--detector", metavar="D", help="auto, centerface or retinaface")
    run.add_argument("--det-size", type=int, metavar="N", help="long side seen by the detector, px")
    run.add_argument("--det-thresh", type=float, metavar="X", help="least confidence, 0..1")
    run.add_argument(
        "--precision", metavar="P", help="float32, or int8: faster on a CPU, used once checked"
    )
    run.add_argument(
        "--small-faces", metavar="S", help="off, or second_look: doubtful small faces, enlarged"
    )
    run.add_argument(
        "--video-stream", metavar="N", help="number of the video stream in the file, or auto"
    )
    run.add_argument("--save-crops", action="store_true", default=None, help="write face pictures")
    run.add_argument("--save-preview", action="store_true", default=None, help="write preview.mp4")
    run.add_argument(
        "--allow-cpu-fallback",
        action="store_true",
        default=None,
        help="run on the CPU, with a warning, where the accelerator is missing",
    )
    run.add_argument(
        "--retinaface-model", metavar="M", help="InsightFace pack, or a detector's .onnx file"
    )
    run.add_argument(
        "--recognition-model",
        metavar="M",
        help="InsightFace pack, or a recognition model's .onnx file: compare tracks by faces",
    )
    limits = p.add_argument_group("how much of the machine")
    limits.add_argument("--cpu-threads", type=int, metavar="N", help="compute threads")
    limits.add_argument(
        "--max-cpu-percent", type=float, metavar="N", help="CPU budget; 100 is one core"
    )
    limits.add_argument("--nice", type=int, metavar="N", help="lower priority, 0 to 19")
    output = p.add_argument_group("what to tell")
    output.add_argument("--progress-file", type=Path, metavar="F", help="copy of progress.json")
    output.add_argument(
        "--events", choices=["ndjson"], help="one JSON event a line on standard output"
    )
    # Used by launchers: `-` is standard input, which is then a lifeline as well; else a file.
    output.add_argument("--spec", metavar="FILE", help=argparse.SUPPRESS)
    return p


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Raises:
    SystemExit: 2, with a usage line, where the arguments make no sense.
    """
    p = parser()
    arguments = p.parse_args(argv)
    if arguments.spec is None and arguments.ep_id is None:
        p.error("--ep-id is missing; for example: --ep-id test-ep --video test.mp4")
    return arguments
