"""The compose file, as far as it can be checked without an engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from apps.common.settings import Settings
from apps.ui.settings import PageSettings
from tools import up

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_services_of_make_up() -> None:
    always = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert always == {"redis", "api", "worker", "page"}
    for service in SERVICES.values():
        assert "healthcheck" in service
        assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"redis"}))
def test_limits_user_and_volumes(name: str) -> None:
    service = SERVICES[name]
    assert service["cpus"] > 0
    assert service["user"] == "1000:1000"
    first = "api" if name == "page" else "redis"
    assert service["depends_on"][first]["condition"] == "service_healthy"
    mounted = {volume.split(":")[0] for volume in service["volumes"]}
    assert mounted <= set(COMPOSE["volumes"])
    assert service["image"] == SERVICES["api"]["image"]


def test_only_loopback_is_published() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert SERVICES["api"]["ports"] == ["127.0.0.1:8000:8000"]
    assert SERVICES["page"]["ports"] == ["127.0.0.1:8501:8501"]
    assert '"--port", "8000"' in DOCKERFILE


@pytest.mark.parametrize("name", ["api", "worker"])
def test_every_variable_is_a_setting(name: str) -> None:
    known = {f"SCREENALYTICS_{field.upper()}" for field in Settings.model_fields}
    known.add("SCREENALYTICS_MAX_CPU_THREADS")  # read by apps.common.cpu_limits
    assert set(SERVICES[name]["environment"]) <= known


def test_the_page_is_that_of_make_up() -> None:
    """The same program with the same options, but for the address; and the same settings."""
    plan = up._page(Settings(), Path("data"), "http://127.0.0.1:8000", 8501)
    options = plan.command[3:]  # after python -m apps.ui
    pairs = [f"{name}={value}" for name, value in zip(options[::2], options[1::2], strict=True)]
    expected = ["python", "-m", "apps.ui", *pairs]
    own = [part.replace("0.0.0.0", "127.0.0.1") for part in SERVICES["page"]["command"]]
    assert sorted(own) == sorted(expected)


def test_the_page_knows_the_api_by_its_settings() -> None:
    known = {f"SCREENALYTICS_{field.upper()}" for field in PageSettings.model_fields}
    assert set(SERVICES["page"]["environment"]) <= known
    assert SERVICES["page"]["environment"]["SCREENALYTICS_API_URL"] == "http://api:8000"


def test_flower_is_never_open() -> None:
    flower = SERVICES["flower"]
    assert flower["profiles"] == ["flower"]
    assert flower["ports"] == ["127.0.0.1:5555:5555"]
    name, _, password = flower["environment"]["FLOWER_BASIC_AUTH"].partition(":-")[2].partition(":")
    assert name == "screenalytics"
    assert password == "${SCREENALYTICS_API_KEY}}"
    assert "requirements-flower.txt" in DOCKERFILE


def test_commands_exist() -> None:
    worker = SERVICES["worker"]["command"]
    command = [sys.executable, "-m", *worker[:3], "report"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'CMD ["python", "-m", "apps.api", ' in DOCKERFILE
    for source in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), path
