"""Facts that need the heavy libraries, for programs that do not load them.

`python -m apps.cli.probe host`, `… video FILE [STREAM]`, `… media FILE`, `… picture FILE TARGET`,
`… still FILE SECONDS TARGET png|jpeg` and `… detector CACHE` print one JSON object: the facts, or
`{"problem": ...}`. With `--lifeline` as its first argument it dies with the program that started
it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from apps.common.cpu_limits import apply_global_cpu_limits
from apps.common.errors import InvalidInput, ScreenalyticsError
from apps.common.files import storage_errors, write_atomic
from apps.common.lifeline import Lifeline


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--lifeline"]:
        Lifeline(reads_line=False)
        arguments = arguments[1:]
    apply_global_cpu_limits(1)
    try:
        match arguments:
            case ["host"]:
                answer = _host()
            case ["detector", cache]:
                answer = _detector(Path(cache))
            case ["video", path]:
                answer = _video(Path(path), None)
            case ["video", path, stream]:
                answer = _video(Path(path), int(stream))
            case ["media", path]:
                answer = _media(Path(path))
            case ["picture", path, target]:
                answer = _picture(Path(path), Path(target))
            case ["still", path, seconds, target, form]:
                answer = _still(Path(path), float(seconds), Path(target), form)
            case _:
                raise InvalidInput(
                    "Usage: probe host | video FILE [STREAM] | media FILE | picture FILE TARGET | "
                    "still FILE SECONDS TARGET png|jpeg | detector CACHE"
                )
    except ScreenalyticsError as error:
        answer = {"problem": error.to_dict()}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _host() -> dict[str, Any]:
    from apps.pipeline.inference.providers import usable_providers

    return {"providers": list(usable_providers())}


def _detector(cache: Path) -> dict[str, Any]:
    """Loads the embedded detector for the smallest picture, as a run would."""
    from apps.pipeline.detect import DetectorRequest, make_detector

    request = DetectorRequest(
        width=64,
        height=64,
        det_size=64,
        det_thresh=0.5,
        provider="CPUExecutionProvider",
        threads=1,
    )
    facts = make_detector("centerface", request, cache=cache).facts
    return {"id": facts.model.id, "sha256": facts.model.sha256}


def _video(path: Path, stream: int | None) -> dict[str, Any]:
    from apps.pipeline.decode.video import open_video

    with open_video(path, threads=1, stream=stream) as video:
        return video.facts.model_dump()


def _media(path: Path) -> dict[str, Any]:
    from apps.pipeline.decode.media import media_facts

    return media_facts(path).model_dump()


def _picture(path: Path, target: Path) -> dict[str, Any]:
    """Writes a JPEG of one frame. Nobody waits for it as for a run, so it has low priority."""
    os.nice(10)
    from apps.pipeline.render.poster import poster

    jpeg = poster(path)
    with storage_errors():
        write_atomic(target, jpeg)
    return {"bytes": len(jpeg)}


def _still(path: Path, seconds: float, target: Path, form: str) -> dict[str, Any]:
    """Writes the picture that is shown at a time; of low priority as well."""
    os.nice(10)
    from apps.pipeline.render.still import still

    picture = still(path, seconds, form)
    with storage_errors():
        write_atomic(target, picture)
    return {"bytes": len(picture)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
