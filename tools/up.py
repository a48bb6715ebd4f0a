#!/usr/bin/env python3
"""`screenalytics up`."""

import sys

from apps.cli.up import main

if __name__ == "__main__":
    sys.exit(main())
