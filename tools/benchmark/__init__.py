"""A run beside a plain loop and the least that decoding and detection cost: `tools/bench.py`."""

from tools import development

development.require("supervision", "trackers")
