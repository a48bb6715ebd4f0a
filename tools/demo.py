#!/usr/bin/env python3
"""`screenalytics demo`."""

import sys

from apps.cli.demo import main

if __name__ == "__main__":
    sys.exit(main())
