#!/usr/bin/env python3
"""`screenalytics compare`."""

import sys

from apps.comparison.command import main

if __name__ == "__main__":
    sys.exit(main())
