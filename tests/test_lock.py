"""The pins hold for every Python and system that is claimed, and pip checks what it installs."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lab.paths import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
FILES = sorted(path.name for path in CHECKOUT.glob("requirements*.txt"))
PYTHONS = ["3.11.0", "3.11.2", "3.11.3", "3.12.0", "3.12.12", "3.13.0", "3.13.9"]
SYSTEMS = {"linux": "Linux", "darwin": "Darwin"}
LEFT_OUT = {canonicalize_name(name) for name in PROJECT["tool"]["uv"]["exclude-dependencies"]}


def pins(name: str) -> list[Requirement]:
    lines = (CHECKOUT / name).read_text().replace("\\\n", "").splitlines()
    return [Requirement(line.split(" --hash=")[0]) for line in lines if not line.startswith("#")]


def environment(python: str, system: str) -> dict[str, str]:
    version = ".".join(python.split(".")[:2])
    own = {"python_version": version, "python_full_version": python, "extra": ""}
    return {
        **default_environment(),
        **own,
        "sys_platform": system,
        "platform_system": SYSTEMS[system],
    }


def applies(requirement: Requirement, where: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(where)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_all_that_a_pinned_package_needs_is_pinned(name: str, python: str, system: str) -> None:
    where = environment(python, system)
    files = {"requirements.txt", name}
    pinned = {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for file in files
        for pin in pins(file)
        if applies(pin, where)
    }
    looked_at = 0
    for package in pinned:
        try:
            needs = [Requirement(text) for text in requires(package) or []]
        except PackageNotFoundError:  # pinned for another Python or system than this one
            continue
        looked_at += 1
        for need in needs:
            needed = canonicalize_name(need.name)
            if needed in LEFT_OUT or not applies(need, where):
                continue
            assert needed in pinned, f"{package} needs {need}"
            assert need.specifier.contains(pinned[needed], prereleases=True), f"{package}: {need}"
    assert looked_at > len(pinned) - 5


@pytest.mark.parametrize("python", PYTHONS)
def test_all_that_the_project_asks_for_is_pinned(python: str) -> None:
    where = environment(python, "linux")
    pinned = {canonicalize_name(pin.name) for pin in pins("requirements.txt")}
    for text in PROJECT["project"]["dependencies"]:
        wanted = Requirement(text)
        assert canonicalize_name(wanted.name) in pinned or not applies(wanted, where), text


@pytest.mark.parametrize("name", FILES)
def test_every_pin_is_exact_and_has_hashes(name: str) -> None:
    text = (CHECKOUT / name).read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line in lines:
        assert re.search(r" --hash=sha256:[0-9a-f]{64}", line), line
    for pin in pins(name):
        assert re.fullmatch(r"==[^,*]+", str(pin.specifier)), pin
    assert {canonicalize_name(pin.name) for pin in pins(name)}.isdisjoint(LEFT_OUT)


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_pip_is_told_to_check_hashes(name: str) -> None:
    lines = (CHECKOUT / name).read_text().splitlines()
    installs = [line for line in lines if "pip install" in line and " . " not in line]
    assert installs  # and the project itself, which has no hash
    assert all("--require-hashes" in line for line in installs)
