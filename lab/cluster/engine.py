"""The containers of the check: started, looked into and ended by Docker's own commands."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab.paths import CHECKOUT

PROJECT = "screenalytics-cluster-check"
_FILES = ("docker-compose.yml", "docker-compose.cluster.yml")
_BUCKET = "lab/cluster/docker-compose.bucket.yml"


@dataclass(frozen=True)
class Container:
    """One, as the engine tells of it."""

    id: str
    service: str
    facts: dict[str, Any]

    @property
    def host(self) -> str:
        """The name that it has for itself."""
        return str(self.facts["Config"]["Hostname"])

    @property
    def health(self) -> str:
        return str(self.facts["State"].get("Health", {}).get("Status", "none"))

    @property
    def exit_code(self) -> int:
        return int(self.facts["State"]["ExitCode"])

    @property
    def volumes(self) -> list[str]:
        return [mount["Name"] for mount in self.facts["Mounts"] if mount["Type"] == "volume"]


class Engine:
    """Docker and Compose, for the one project of the check.

    Args:
        compose: the command, such as `docker compose`.
        environment: what the compose files ask for.
    """

    def __init__(self, compose: Sequence[str], environment: dict[str, str]) -> None:
        files = [part for name in (*_FILES, _BUCKET) for part in ("-f", name)]
        self._compose = [*compose, "-p", PROJECT, *files]
        self._environment = {**os.environ, **environment}

    def compose(self, *arguments: str) -> str:
        """Runs a command of Compose to its end; what it said as an error where it failed."""
        return self._ask([*self._compose, *arguments])

    def docker(self, *arguments: str, text: str | None = None) -> str:
        return self._ask(["docker", *arguments], text)

    def containers(self, *services: str) -> list[Container]:
        """Of these services, stopped ones as well."""
        found = []
        for service in services:
            for name in self.compose("ps", "-a", "-q", service).split():
                (facts,) = json.loads(self.docker("inspect", name))
                found.append(Container(name, service, facts))
        return found

    def logs(self, container: Container) -> str:
        asked = ["docker", "logs", container.id]
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def down(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def _ask(self, command: list[str], text: str | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env=self._environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command[-6:])}: {done.stderr.strip()[-2000:]}")
        return done.stdout
