"""Results for other programs: `screenalytics export --ep-id test-ep --format mot`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from apps.common.errors import ScreenalyticsError, StorageFailed
from apps.common.names import LATEST, ExportFormat

if TYPE_CHECKING:
    from apps.results.figures import Export


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        description="Writes a run's detections or people as a file of another program, as the web "
        "service does. Detections: MOT Challenge, COCO keypoints, CSV, CVAT for video. People: "
        "seconds on the screen and who is seen with whom (CSV, JSON), timelines (OTIO, EDL), "
        "WebVTT, CVAT labelled by person."
    )
    p.add_argument("--ep-id", required=True, help="name of the episode")
    p.add_argument("--run", default=LATEST, help="name of the run (default: %(default)s)")
    p.add_argument("--format", required=True, choices=get_args(ExportFormat))
    p.add_argument(
        "--untracked", action="store_true", help="mot: faces of no track too, with the id -1"
    )
    p.add_argument("--hidden", action="store_true", help="formats of people: hidden ones too")
    p.add_argument(
        "--start-timecode",
        metavar="HH:MM:SS:FF",
        help="otio, edl: timecode of the video's first picture (default: the file's, or zero)",
    )
    p.add_argument("--out", metavar="FILE", default="-", help="default: standard output")
    p.add_argument("--data-root", type=Path, help="folder of videos and results")
    return p


def main() -> int:
    arguments = parser().parse_args()

    from apps.objects.open import layout_at
    from apps.results.figures import export_of
    from apps.results.people_export.formats import PeopleChoice

    try:
        layout = layout_at(arguments.data_root)
        export = export_of(
            layout,
            arguments.ep_id,
            arguments.run,
            arguments.format,
            untracked=arguments.untracked,
            choice=PeopleChoice(arguments.hidden, arguments.start_timecode),
        )
        _write(export, arguments.out)
    except ScreenalyticsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    return 0


def _write(export: Export, target: str) -> None:
    """Writes the export to a file, or to standard output.

    Raises:
        StorageFailed: it cannot be written.
    """
    from apps.common.files import replacing

    path = Path(target).resolve()
    try:
        if target == "-":
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who reads only the beginning may
            sys.stdout.buffer.writelines(export.pieces)
            sys.stdout.buffer.flush()
        elif path.exists() and not path.is_file():  # a device or a pipe is not replaced
            with path.open("wb") as stream:
                stream.writelines(export.pieces)
        else:
            with replacing(path) as stream:
                stream.writelines(export.pieces)
    except OSError as error:
        raise StorageFailed(
            f"The file cannot be written: {error.strerror or type(error).__name__}.",
            hint="See that there is space, and that this user may write there.",
        ) from error


if __name__ == "__main__":
    sys.exit(main())
