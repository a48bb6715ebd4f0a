"""Track quality as a measured thing: the parts of `lab.evaluate`."""

from lab import development

development.require("defusedxml", "scenedetect", "supervision", "trackers")
