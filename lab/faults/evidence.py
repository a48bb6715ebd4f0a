"""What is needed to know why a trial was not clean: answers, jobs, manifests and all logs."""

from __future__ import annotations

from pathlib import Path

ANSWERS = "answers.txt"
_SHOWN_BYTES = 6000  # of each file, its end
_TELLING = ("*.log", ANSWERS, "run.json", "latest.json", "*.jsonl")


def evidence(folder: Path, since: float = 0.0) -> str:
    """The ends of all telling files of a trial's folder, each below its name.

    Rows of results are only counted. Of files, those that were written to after `since`.
    """
    found = sorted({path for pattern in _TELLING for path in folder.rglob(pattern)})
    found = [path for path in found if path.stat().st_mtime >= since]
    return "\n".join(f"--- {path.relative_to(folder)}\n{_end_of(path)}" for path in found)


def _end_of(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"({error.strerror})"
    if path.suffix == ".jsonl":
        return f"({len(content.splitlines())} rows)"
    return content[-_SHOWN_BYTES:].decode("utf-8", "replace")
