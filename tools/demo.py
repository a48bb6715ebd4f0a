#!/usr/bin/env python3
"""`screenalytics demo`."""

import sys

from apps.demo.command import main

if __name__ == "__main__":
    sys.exit(main())
