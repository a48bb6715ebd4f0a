"""`screenalytics compare`, and the process that the web service starts for a comparison."""

from __future__ import annotations

import sys

from apps.common.lifeline import Lifeline


def main() -> int:
    # Before anything else is imported: from here on it dies with the program that started it.
    lifeline = Lifeline(told=False) if "--lifeline" in sys.argv else None

    from apps.comparison.compare import main as compare

    return compare(lifeline)


if __name__ == "__main__":
    sys.exit(main())
