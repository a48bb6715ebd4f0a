#!/usr/bin/env python3
"""`screenalytics diagnose`."""

import sys

from apps.cli.diagnose import main

if __name__ == "__main__":
    sys.exit(main())
