"""The modules import each other in one direction only, and every room has its contract."""

from __future__ import annotations

import tomllib
from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

from lab.paths import CHECKOUT

SHARED = {"apps.common", "apps.web"}  # what a room may know without saying so


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("apps", "lab", cache_dir=None)


def contracts() -> list[dict[str, object]]:
    document = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    found: list[dict[str, object]] = document["tool"]["importlinter"]["contracts"]
    return found


def named(contract: dict[str, object], *keys: str) -> set[str]:
    """Modules that a contract names; those of a layer stand in one text."""
    texts = [str(text) for key in keys for text in contract.get(key, ())]  # type: ignore[attr-defined]
    return {name.strip() for text in texts for name in text.split("|")}


def rooms(graph: grimp.ImportGraph) -> set[str]:
    """Packages of the product that hold code; `apps.config` holds files alone."""
    return {room for room in graph.find_children("apps") if graph.find_children(room)}


def cycle(graph: grimp.ImportGraph) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end."""
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_modules_import_each_other_in_a_circle(graph: grimp.ImportGraph) -> None:
    assert len(graph.modules) > 250
    assert cycle(graph) == []


def test_a_circle_would_be_found() -> None:
    graph = grimp.ImportGraph()
    for name in "abcd":
        graph.add_module(name)
    for importer, imported in ("ab", "bc", "cd", "ca"):
        graph.add_import(importer=importer, imported=imported)
    assert sorted(set(cycle(graph))) == ["a", "b", "c"]


def test_every_room_has_a_rule_of_its_own(graph: grimp.ImportGraph) -> None:
    ruled = set[str]()
    for contract in contracts():
        ruled |= named(contract, "source_modules", "layers")
    assert rooms(graph) - ruled == set()


def test_what_all_build_upon_knows_no_other_room(graph: grimp.ImportGraph) -> None:
    """A contract with one source forbids every room but that one and the shared ones."""
    alone = [contract for contract in contracts() if len(named(contract, "source_modules")) == 1]
    sources = set[str]()
    for contract in alone:
        [source] = named(contract, "source_modules")
        if source != "apps":
            sources.add(source)
            forbidden = named(contract, "forbidden_modules")
            assert rooms(graph) - forbidden - {source} <= SHARED, contract["name"]
    assert sources == {"apps.common", "apps.pipeline", "apps.web", "apps.ui"}


def test_common_knows_no_room_at_all() -> None:
    [contract] = [found for found in contracts() if found["name"] == "common knows nobody"]
    assert "apps.web" in named(contract, "forbidden_modules")


@pytest.mark.parametrize("maker", ["apps.cli.playable", "apps.cli.preview"])
def test_what_makes_a_video_loads_no_detector(graph: grimp.ImportGraph, maker: str) -> None:
    assert graph.find_shortest_chain(maker, "apps.pipeline.decode.video") is not None
    for heavy in ("apps.pipeline.run", "apps.pipeline.detect.base", "apps.pipeline.track"):
        assert graph.find_shortest_chain(maker, heavy, as_packages=False) is None
