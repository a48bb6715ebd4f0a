"""Arguments of `screenalytics run`. Nothing here may import NumPy: the CPU limits come later."""

from __future__ import annotations

import argparse
from pathlib import Path

from apps.common.option_flags import add_flags, add_nice

MAX_PARTS = 1000
EPILOG = """exit codes:
  0 done                         5 model missing or broken
  1 whatever else went wrong     6 another run holds the episode
  2 bad arguments                129 its terminal was closed (SIGHUP; not under nohup)
  3 video missing or unreadable  130 interrupted (SIGINT)
  4 accelerator missing          143 terminated (SIGTERM)

InsightFace's weights (`retinaface`, recognition) are for non-commercial research only.
Every option that is left out comes from SCREENALYTICS_<OPTION>, then from the profile.
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        description="Detect and track every face of one episode.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--ep-id", metavar="ID", help="name of the episode")
    p.add_argument("--video", type=Path, metavar="FILE", help="video, instead of the episode's own")
    p.add_argument("--data-root", type=Path, metavar="DIR", help="folder of videos and results")
    p.add_argument("--run-id", metavar="R", help="name of this run (default: time and a number)")
    run = p.add_argument_group("what to do")
    add_flags(run, "work")
    run.add_argument(
        "--detector-model",
        metavar="FILE",
        help="the detector's .onnx file; for retinaface also a pack of InsightFace",
    )
    run.add_argument("--retinaface-model", metavar="M", help="the same for retinaface alone")
    run.add_argument(
        "--recognition-model",
        metavar="M",
        help="dlib, an InsightFace pack or its .onnx file: compare tracks by faces",
    )
    limits = p.add_argument_group("how much of the machine")
    add_flags(limits, "machine")
    add_nice(limits, "lower priority, 0 to 19")
    parts = p.add_argument_group(
        "a run in parts", "by several machines; docs/parts.md says what comes out and when it pays"
    )
    parts.add_argument("--part", type=_part, metavar="K/N", help="analyse the K-th of N parts only")
    parts.add_argument("--part-file", type=Path, metavar="FILE", help="where to write that part")
    parts.add_argument(
        "--parts",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="put the run together from the files of all its parts, in their order",
    )
    output = p.add_argument_group("what to tell")
    output.add_argument("--progress-file", type=Path, metavar="F", help="copy of progress.json")
    output.add_argument(
        "--events", choices=["ndjson"], help="one JSON event a line on standard output"
    )
    # Used by launchers: `-` is standard input, which is then a lifeline as well; else a file.
    output.add_argument("--spec", metavar="FILE", help=argparse.SUPPRESS)
    return p


def _part(text: str) -> tuple[int, int]:
    """The number of a part from 1, and how many there are."""
    number, _, count = text.partition("/")
    if not (
        number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) <= MAX_PARTS
    ):
        raise argparse.ArgumentTypeError(
            f"{text!r} is none; for example 2/5, of {MAX_PARTS} at most"
        )
    return int(number), int(count)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments of a run.

    Raises:
        SystemExit: 2, with a usage line, where the arguments make no sense.
    """
    p = parser()
    arguments = p.parse_args(argv)
    if arguments.spec is None and arguments.ep_id is None:
        p.error("--ep-id is missing; for example: --ep-id test-ep --video test.mp4")
    if (arguments.part is None) != (arguments.part_file is None):
        p.error("--part and --part-file belong together; say --part 2/5 --part-file 2.part")
    if arguments.part is not None and (arguments.parts or arguments.events):
        p.error("--part makes one part only; --parts and --events are for a whole run")
    return arguments
