"""Files lie where section 4 of the contract says, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.common.errors import InvalidInput
from apps.common.layout import RESULT_NAMES, Layout
from apps.common.names import is_name

ROOT = Path("data")
LAYOUT = Layout(ROOT)
RUN = LAYOUT.run("test-ep", "r1")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (LAYOUT.episode("test-ep"), "videos/test-ep"),
        (LAYOUT.latest("test-ep"), "manifests/test-ep/latest.json"),
        (LAYOUT.runs("test-ep"), "manifests/test-ep/runs"),
        (RUN.folder, "manifests/test-ep/runs/r1"),
        (RUN.manifest, "manifests/test-ep/runs/r1/run.json"),
        (RUN.progress, "manifests/test-ep/runs/r1/progress.json"),
        (RUN.detections, "manifests/test-ep/runs/r1/detections.jsonl"),
        (RUN.tracks, "manifests/test-ep/runs/r1/tracks.jsonl"),
        (RUN.metrics, "manifests/test-ep/runs/r1/track_metrics.json"),
        (RUN.log, "manifests/test-ep/runs/r1/run.log"),
        (RUN.crops, "manifests/test-ep/runs/r1/crops"),
        (RUN.preview, "manifests/test-ep/runs/r1/preview.mp4"),
    ],
)
def test_paths_of_the_contract(path: Path, expected: str) -> None:
    assert path.relative_to(ROOT).as_posix() == expected


def test_results_are_the_files_that_appear_as_a_whole() -> None:
    results = {RUN.detections, RUN.tracks, RUN.metrics, RUN.crops, RUN.thumbs, RUN.preview}
    results |= {RUN.people, RUN.embeddings}

    assert {RUN.folder / name for name in RESULT_NAMES} == results
    assert RUN.staging.parent == RUN.folder  # the same disk, so that a rename is enough
    assert not is_name(RUN.staging.name)


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "/etc", "a\0", "a\n", ".locks", "x" * 129]
)
@pytest.mark.parametrize(
    "build",
    [
        LAYOUT.episode,
        LAYOUT.manifests,
        LAYOUT.latest,
        LAYOUT.runs,
        LAYOUT.lock,
        LAYOUT.holder,
        lambda name: LAYOUT.run(name, "r1"),
        lambda name: LAYOUT.run("test-ep", name),
    ],
    ids=["episode", "manifests", "latest", "runs", "lock", "holder", "run's episode", "run"],
)
def test_illegal_names_become_no_path(build: Callable[[str], object], name: str) -> None:
    with pytest.raises(InvalidInput):
        build(name)


def test_the_wrong_name_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        LAYOUT.run("test-ep", "../x")

    assert caught.value.extra["field"] == "run_id"


legal = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z").filter(is_name)


@given(legal, legal)
def test_two_episodes_share_no_file(one: str, other: str) -> None:
    def files(ep_id: str) -> set[Path]:
        return {
            LAYOUT.episode(ep_id),
            LAYOUT.manifests(ep_id),
            LAYOUT.lock(ep_id),
            LAYOUT.holder(ep_id),
        }

    assert len(files(one)) == 4
    assert one == other or not files(one) & files(other)
