"""The image and the compose file, as far as they can be checked without an engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from apps.cli.main import COMMANDS
from apps.common.options import EnvironmentRequest
from apps.common.settings import Settings
from apps.common.webhooks import WebhookSettings
from apps.stack import up
from apps.ui.settings import PageSettings
from apps.worker.drain import ENDING_SECONDS
from lab.paths import CHECKOUT

COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()


def test_the_services_of_make_up() -> None:
    always = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert always == {"redis", "api", "worker", "page"}
    for service in SERVICES.values():
        assert "healthcheck" in service
        assert service["restart"] == "unless-stopped"


OWN = sorted(set(SERVICES) - {"redis"})
# What `${NAME:-default}` stands for; a default that holds another one is not for every Compose.
_VARIABLE = re.compile(r"\$\{[A-Z_]+:-([^${}]*)\}")


def default(value: object) -> str:
    return _VARIABLE.sub(r"\1", str(value))


@pytest.mark.parametrize("name", OWN)
def test_limits_user_and_volumes(name: str) -> None:
    service = SERVICES[name]
    assert 0 < float(default(service["cpus"])) <= 2  # an engine refuses more than the host has
    assert service["user"] == "1000:1000"
    first = "api" if name == "page" else "redis"
    assert service["depends_on"][first]["condition"] == "service_healthy"
    mounted = {volume.split(":")[0] for volume in service["volumes"]}
    assert mounted <= set(COMPOSE["volumes"])
    assert service["image"] == SERVICES["api"]["image"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nothing_may_do_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges"]
    assert re.fullmatch(r"[0-9]+[mg]", default(service["mem_limit"]))
    assert 0 < service["pids_limit"] <= 512
    if name in OWN:
        assert "cap_add" not in service
        assert service["tmpfs"] == ["/tmp"]


def test_a_worker_is_killed_only_when_it_should_have_ended() -> None:
    """It finishes or hands back its jobs first: by these services, and by `make up`."""
    grace = re.fullmatch(r"([0-9]+)s", default(SERVICES["worker"]["stop_grace_period"]))
    assert grace is not None
    assert int(grace[1]) >= Settings().drain_seconds + ENDING_SECONDS
    plan = up._worker(Settings(), Path("data"), 8000)
    drain_s = float(plan.environment["SCREENALYTICS_DRAIN_SECONDS"])
    assert plan.steps[0].patience >= drain_s + 5  # to end the run, and Celery


def test_no_default_holds_another_one() -> None:
    for path in sorted(CHECKOUT.glob("docker-compose*.yml")):
        for wanted in re.findall(r"\$\{[^}]*\}?", path.read_text()):
            assert wanted.count("${") == 1, wanted


def test_no_container_leaves_a_nameless_volume() -> None:
    assert not re.search(r"^VOLUME", DOCKERFILE, re.MULTILINE)


def test_the_image_builds_without_a_package_that_went_elsewhere() -> None:
    """What is removed of packages may be missing: `find` of a folder that is not there fails."""
    assert re.findall(r"\bfind (\S+)", DOCKERFILE) == ["."]


def test_models_lie_where_all_services_see_them() -> None:
    (home,) = re.findall(r"INSIGHTFACE_HOME=(\S+)", DOCKERFILE)
    data = SERVICES["api"]["environment"]["SCREENALYTICS_DATA_ROOT"]
    assert Path(home).is_relative_to(data)
    assert SERVICES["worker"]["volumes"] == SERVICES["api"]["volumes"] == [f"data:{data}"]


def test_only_loopback_is_published() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert SERVICES["api"]["ports"] == ["127.0.0.1:8000:8000"]
    assert SERVICES["page"]["ports"] == ["127.0.0.1:8501:8501"]
    assert '"--port", "8000"' in DOCKERFILE


@pytest.mark.parametrize("name", ["api", "worker"])
def test_every_setting_is_passed_on_and_nothing_else(name: str) -> None:
    fields = {*Settings.model_fields, *EnvironmentRequest.model_fields, "max_cpu_threads"}
    fields.remove("allowed_hosts" if name == "worker" else "heartbeat_file")
    fields |= set(WebhookSettings.model_fields) if name == "api" else set()  # it alone sends them
    expected = {f"SCREENALYTICS_{field.upper()}" for field in fields}
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    keys |= {"AWS_ENDPOINT_URL", "AWS_REGION"}
    assert set(SERVICES[name]["environment"]) == expected | keys


@pytest.mark.parametrize("name", ["page", "flower", "redis"])
def test_keys_of_the_storage_go_to_those_that_need_them(name: str) -> None:
    assert not any(key.startswith("AWS_") for key in SERVICES[name].get("environment", {}))
    assert "requirements-storage.txt" in DOCKERFILE


@pytest.mark.parametrize("name", ["api", "worker", "page", "flower"])
def test_the_key_may_be_a_file(name: str) -> None:
    secrets = yaml.safe_load((CHECKOUT / "docker-compose.secrets.yml").read_text())
    (secret,) = secrets["services"][name]["secrets"]
    variables = secrets["services"][name]["environment"]
    assert variables == {"SCREENALYTICS_API_KEY_FILE": f"/run/secrets/{secret}"}
    assert "file" in secrets["secrets"][secret]


CLUSTER = yaml.safe_load((CHECKOUT / "docker-compose.cluster.yml").read_text())["services"]


def test_workers_of_a_cluster_share_no_volume() -> None:
    """A volume without a name, at the place of the API's, is one of its own for each replica."""
    assert set(CLUSTER) == {"api", "worker"}
    (place,) = CLUSTER["worker"]["volumes"]
    assert SERVICES["worker"]["volumes"] == [f"data:{place}"]  # which it takes the place of
    assert "volumes" not in CLUSTER["api"]
    assert CLUSTER["worker"]["deploy"] == {"replicas": "${SCREENALYTICS_WORKERS:-2}"}
    assert "ports" not in SERVICES["worker"] | CLUSTER["worker"]  # one host has a port once
    assert "container_name" not in SERVICES["worker"] | CLUSTER["worker"]


def test_a_cluster_is_not_started_without_a_bucket() -> None:
    for name in ("api", "worker"):
        wanted = CLUSTER[name]["environment"]["SCREENALYTICS_STORAGE"]
        assert re.fullmatch(r"\$\{SCREENALYTICS_STORAGE:\?[^}]+\}", wanted)


def test_the_bucket_to_test_with_is_no_service_of_the_product() -> None:
    text = (CHECKOUT / "lab" / "cluster" / "docker-compose.bucket.yml").read_text()
    services = yaml.safe_load(text)["services"]
    assert set(services) == {"bucket"}
    assert not {"bucket"} & (set(SERVICES) | set(CLUSTER))
    assert all(port.startswith("127.0.0.1:") for port in services["bucket"]["ports"])
    assert not is_sent("lab/cluster/Dockerfile")


def test_a_cluster_has_the_settings_of_one_host() -> None:
    """Keys, limits, grace and health checks are those of docker-compose.yml."""
    assert CLUSTER["api"]["environment"] == CLUSTER["worker"]["environment"]
    for name in ("api", "worker"):
        assert set(CLUSTER[name]["environment"]) <= set(SERVICES[name]["environment"])
        assert set(CLUSTER[name]) <= {"environment", "volumes", "deploy"}
    redis = CLUSTER["worker"]["environment"]["SCREENALYTICS_REDIS_URL"]
    assert default(redis) == SERVICES["worker"]["environment"]["SCREENALYTICS_REDIS_URL"]


def test_the_page_is_that_of_make_up() -> None:
    """The same program with the same options, but for the address; and the same settings."""
    plan = up._page(Settings(), Path("data"), "http://127.0.0.1:8000", 8501)
    options = plan.command[4:]  # after python -P -m apps.ui
    pairs = [f"{name}={value}" for name, value in zip(options[::2], options[1::2], strict=True)]
    expected = ["screenalytics", "page", *pairs]
    own = [part for part in SERVICES["page"]["command"] if part != "--server.address=0.0.0.0"]
    assert sorted(own) == sorted(expected)


def test_the_page_knows_the_api_by_its_settings() -> None:
    known = {f"SCREENALYTICS_{field.upper()}" for field in PageSettings.model_fields}
    assert set(SERVICES["page"]["environment"]) <= known
    assert SERVICES["page"]["environment"]["SCREENALYTICS_API_URL"] == "http://api:8000"


def test_flower_is_never_open() -> None:
    flower = SERVICES["flower"]
    assert flower["profiles"] == ["flower"]
    assert flower["ports"] == ["127.0.0.1:5555:5555"]
    assert flower["command"][:2] == ["screenalytics", "flower"]
    assert flower["environment"]["FLOWER_BASIC_AUTH"] == "${FLOWER_BASIC_AUTH:-}"
    assert "requirements-flower.txt" in DOCKERFILE


def test_commands_exist() -> None:
    commands = [service["command"] for service in SERVICES.values() if "command" in service]
    commands.append(json.loads(re.findall("^CMD (.*)$", DOCKERFILE, re.MULTILINE)[0]))
    own = [command[1] for command in commands if command[0] == "screenalytics"]
    assert len(own) == 4
    assert set(own) <= set(COMMANDS)


def copied() -> list[str]:
    sources = re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE)
    return [path for source in sources for path in source.split()]


def is_sent(path: str) -> bool:
    """Whether a file reaches the engine: the last line of .dockerignore that matches decides."""
    sent = True
    for line in (CHECKOUT / ".dockerignore").read_text().split():
        pattern = line.removeprefix("!")
        names = [str(part) for part in (Path(path), *Path(path).parents)]
        if any(fnmatch(name, pattern) for name in names):
            sent = line.startswith("!")
    return sent


@pytest.mark.parametrize("path", copied())
def test_what_the_image_copies_is_there_and_reaches_the_engine(path: str) -> None:
    assert (CHECKOUT / path).exists()
    assert is_sent(path)


@pytest.mark.parametrize("path", [".git/config", "data/x", "tests/conftest.py", ".env", "key.txt"])
def test_nothing_else_reaches_the_engine(path: str) -> None:
    assert not is_sent(path)


@pytest.mark.parametrize(("age_s", "healthy"), [(1, True), (60, False), (None, False)])
def test_the_health_check_of_the_worker(tmp_path: Path, age_s: int | None, healthy: bool) -> None:
    heartbeat = tmp_path / "heartbeat"
    if age_s is not None:
        heartbeat.touch()
        os.utime(heartbeat, (time.time() - age_s, time.time() - age_s))
    kind, check = SERVICES["worker"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    own = SERVICES["worker"]["environment"]["SCREENALYTICS_HEARTBEAT_FILE"]
    assert own in check
    command = check.replace("$$", "$").replace(own, str(heartbeat))
    done = subprocess.run(["sh", "-c", command], check=False, stderr=subprocess.DEVNULL)
    assert (done.returncode == 0) == healthy
