"""A run beside a plain loop and the least that decoding and detection cost: `lab.bench`."""

from lab import development

development.require("supervision", "trackers")
