"""Why was a run slow or hot? `screenalytics diagnose --ep-id test-ep [--run latest]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from apps.common.errors import ScreenalyticsError
from apps.common.names import LATEST

if TYPE_CHECKING:
    from apps.common.schemas import Diagnosis


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="Says why a run was slow or hot.")
    p.add_argument("--ep-id", required=True, help="name of the episode")
    p.add_argument("--run", default=LATEST, help="name of the run (default: %(default)s)")
    p.add_argument("--data-root", type=Path, help="folder of videos and results")
    p.add_argument("--json", action="store_true", help="for programs")
    return p


def main() -> int:
    arguments = parser().parse_args()

    from apps.objects.open import layout_at
    from apps.results.diagnosis import diagnose
    from apps.runs.store import read_manifest

    try:
        layout = layout_at(arguments.data_root)
        diagnosis = diagnose(read_manifest(layout, arguments.ep_id, arguments.run))
    except ScreenalyticsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    print(diagnosis.model_dump_json(indent=2) if arguments.json else text(diagnosis))
    return 0


def text(diagnosis: Diagnosis) -> str:
    lines = [f"{diagnosis.ep_id}, run {diagnosis.run_id}: {diagnosis.status}"]
    for finding in diagnosis.findings:
        lines.append(f"\n{finding.severity.upper()}: {finding.summary}")
        lines += [f"    {name}: {value}" for name, value in finding.evidence.items()]
        if finding.action:
            lines.append(f"    -> {finding.action}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
