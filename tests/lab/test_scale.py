"""The simulation of many workers and jobs, made small; and what it says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.processes.queue import redis_server
from lab.scale.__main__ import main
from lab.scale.mix import season_mix
from lab.scale.simulation import Case, simulate


def test_the_mix_has_as_many_episodes_as_were_asked_for_and_each_once() -> None:
    mix = season_mix(1000, seed=3)
    names = [one.ep_id for one in mix.episodes]
    assert (len(names), len(set(names)), len(mix.singles)) == (1000, 1000, 50)
    assert mix == season_mix(1000, seed=3)
    assert mix != season_mix(1000, seed=4)


def test_nothing_is_lost_or_done_twice_though_workers_die(tmp_path: Path) -> None:
    """Forty workers, ten of which die, and three hundred episodes; single ones go first."""
    case = Case(workers=40, episodes=300, seed=7, deaths=10, seconds=0.8, lease_s=2, limit_s=120)
    with redis_server(tmp_path / "redis", "--appendonly", "no") as broker:
        found = simulate(case, broker.url, tmp_path / "data")
        assert broker.ask("KEYS", "unacked*") == []
    assert (found.jobs, found.lost, found.left_in_redis) == (300, 0, {"waiting": 0, "running": 0})
    assert (found.ended_twice, found.worked_twice, found.at_once) == (0, 0, 0)
    assert sum(found.deaths.values()) > 0
    # In the order of asking it would be more than a hundred: all seasons were there before.
    assert found.overtakings < 20
    assert {"scan", "keys"}.isdisjoint(found.redis.by_command)
    assert found.redis.by_command["hgetall"] < 10 * found.jobs  # however long they wait


def test_the_command_says_how_it_went(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = "--workers 4 --episodes 12 --deaths 0 --seconds 0.1 --lease 5 --limit 60"
    assert main([*given.split(), "--folder", str(tmp_path)]) == 0
    words, _, body = capsys.readouterr().out.strip().rpartition("\n")
    assert words.startswith("12 jobs in ")
    assert "lost 0," in words
    assert json.loads(body)["lost"] == 0
