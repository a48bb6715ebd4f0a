"""Facts that need the heavy libraries, for programs that do not load them.

`python -m apps.cli.probe host` and `python -m apps.cli.probe video FILE` print one JSON object:
the facts, or `{"problem": ...}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from apps.common.cpu_limits import apply_global_cpu_limits
from apps.common.errors import InvalidInput, ScreenalyticsError


def main(arguments: list[str]) -> int:
    apply_global_cpu_limits(1)
    try:
        match arguments:
            case ["host"]:
                answer = _host()
            case ["video", path]:
                answer = _video(Path(path))
            case _:
                raise InvalidInput("Usage: probe host | probe video FILE")
    except ScreenalyticsError as error:
        answer = {"problem": error.to_dict()}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _host() -> dict[str, Any]:
    import onnxruntime

    return {"providers": list(onnxruntime.get_available_providers())}


def _video(path: Path) -> dict[str, Any]:
    from apps.pipeline.decode import open_video

    with open_video(path, threads=1) as video:
        return video.facts.model_dump()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
