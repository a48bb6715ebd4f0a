"""The compose file, as far as it can be checked without an engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from apps.common.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_services_of_make_up() -> None:
    assert set(SERVICES) == {"redis", "api", "worker"}
    for service in SERVICES.values():
        assert "healthcheck" in service
        assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["api", "worker"])
def test_limits_user_and_volumes(name: str) -> None:
    service = SERVICES[name]
    assert service["cpus"] > 0
    assert service["user"] == "1000:1000"
    assert service["depends_on"]["redis"]["condition"] == "service_healthy"
    mounted = {volume.split(":")[0] for volume in service["volumes"]}
    assert mounted <= set(COMPOSE["volumes"])
    assert service["image"] == SERVICES["api"]["image"]


def test_only_loopback_is_published() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8000:8000"]
    assert '"--port", "8000"' in DOCKERFILE


@pytest.mark.parametrize("name", ["api", "worker"])
def test_every_variable_is_a_setting(name: str) -> None:
    known = {f"SCREENALYTICS_{field.upper()}" for field in Settings.model_fields}
    known.add("SCREENALYTICS_MAX_CPU_THREADS")  # read by apps.common.cpu_limits
    assert set(SERVICES[name]["environment"]) <= known


def test_commands_exist() -> None:
    worker = SERVICES["worker"]["command"]
    command = [sys.executable, "-m", *worker[:3], "report"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "apps.api.main:app" in DOCKERFILE
    for source in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), path
