"""How long much of it takes: nothing else runs beside these tests."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps.common.layout import Layout
from apps.people.known import Known
from apps.people.suggestions import suggestions
from tests.people.test_suggestions import say
from tests.support.people_run import FRAMES, Visit, complete_run, copy_results

pytestmark = pytest.mark.alone

EPISODES, TRACKS, PEOPLE = 20, 2_000, 40
EACH = TRACKS // PEOPLE
_GROUP = """
import json, resource, time
import numpy as np
from apps.pipeline.people.grouping import TrackFace, grouped
random = np.random.default_rng(3)
people = random.normal(size=(40, 128))
of = random.integers(40, size=5000)
faces = people[of] + random.normal(size=(5000, 128)) / 3
faces = (faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype(np.float32)
tracks = [
    TrackFace(number, face, np.arange(6 * number, 6 * number + 60, 6))
    for number, face in enumerate(faces, 1)
]
began = time.perf_counter()
groups = grouped(tracks, 0.3)
mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([time.perf_counter() - began, mib, len(groups)]))
"""


def test_the_names_of_a_season_are_suggested_within_five_seconds(tmp_path: Path) -> None:
    """Each of its episodes asks one after the other, and none has been read before."""
    visits = [
        Visit(who, FRAMES // EACH * visit, FRAMES // EACH * (visit + 1) - 2, 0.02 * who)
        for who in range(PEOPLE)
        for visit in range(EACH)
    ]
    groups = [list(range(EACH * who, EACH * (who + 1))) for who in range(PEOPLE)]
    layout = Layout(tmp_path)
    names = [f"talk-s01e{number:02d}" for number in range(1, EPISODES + 1)]
    complete_run(tmp_path, "r1", visits, groups, ep_id=names[0])
    for ep_id in names[1:]:
        copy_results(tmp_path, names[0], "r1", ep_id)
    for number, ep_id in enumerate(names):
        for person in range(number % 8, PEOPLE, 8):
            say(layout, ep_id, "name", f"person-{person + 1:04d}", name=f"Name {person}")
    known = Known()
    began = time.monotonic()
    found = [suggestions(layout, ep_id, "r1", known) for ep_id in names]
    took = time.monotonic() - began
    print(f"a season of 20 episodes, 2,000 tracks each: suggested in {took:.2f} s")
    assert {len(one.items) for one in found} == {PEOPLE * 7 // 8}
    assert took < 5


def test_five_thousand_tracks_are_grouped_within_ten_seconds_and_a_gigabyte() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _GROUP], capture_output=True, text=True, timeout=120, check=True
    )
    took, mib, groups = json.loads(ended.stdout)
    print(f"5,000 tracks: grouped in {took:.2f} s, {mib:.0f} MiB")
    assert groups >= PEOPLE
    assert (took < 10, mib < 1024) == (True, True)
