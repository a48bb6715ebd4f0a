"""Each cause of a slow or hot run, produced in a real run, is named, and nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps.common.contracts.manifest import ProviderProbe, RunManifest, ThermalFacts
from apps.results.diagnosis import diagnose
from lab.processes.service import add_episode, run_cli

PLAIN = ("--stride", "12", "--cpu-threads", "1")
CUDA = ("--device", "cuda", "--allow-cpu-fallback", "--det-size", "640")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("diagnosis") / "data"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    return root


def run(data_root: Path, ep_id: str, *arguments: str, **environment: str) -> RunManifest:
    done = run_cli(data_root, "--ep-id", ep_id, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    folder = data_root / "manifests" / ep_id
    latest = json.loads((folder / "latest.json").read_text())["run_id"]
    path = folder / "runs" / latest / "run.json"
    return RunManifest.model_validate_json(path.read_text())


def causes(manifest: RunManifest) -> list[str]:
    """Codes of what is more than a description, and not of other tests that run beside."""
    found = [f.code for f in diagnose(manifest).findings if f.severity != "info"]
    return [code for code in found if code != "host-busy"]


@pytest.fixture(scope="module")
def plain(data_root: Path) -> RunManifest:
    return run(data_root, "show", *PLAIN)


def test_a_run_as_it_should_be_has_no_cause(plain: RunManifest) -> None:
    assert causes(plain) == []
    bound = diagnose(plain).findings[-1]
    assert bound.code == "bound-by"
    assert "detection" in bound.summary
    assert bound.evidence == {f"{s}_seconds": plain.times[s] for s in ("decode", "scale", "detect")}


@pytest.mark.trap(21)
def test_cpu_fallback(data_root: Path) -> None:
    found = run(data_root, "talk", *PLAIN, *CUDA)
    assert causes(found) == ["cpu-fallback"]


def test_stride_from_the_environment(data_root: Path) -> None:
    found = run(data_root, "talk", "--cpu-threads", "1", SCREENALYTICS_STRIDE="11")
    assert causes(found) == ["stride-from-environment"]
    finding = diagnose(found).findings[0]
    assert finding.evidence == {"stride": 11, "profile_stride": 12}
    assert "SCREENALYTICS_STRIDE" in finding.summary


def test_detection_size(data_root: Path) -> None:
    found = run(data_root, "talk", "--stride", "24", "--cpu-threads", "1", "--det-size", "1280")
    assert causes(found) == ["detection-size-large"]


@pytest.mark.alone
def test_cap_reached(data_root: Path) -> None:
    found = run(data_root, "talk", *PLAIN, "--max-cpu-percent", "20")
    assert causes(found) == ["cap-reached"]


def test_heat(plain: RunManifest) -> None:
    """In place of the cap, which was waited for only since heat had lowered it."""
    heat = ThermalFacts(
        sensor="coretemp", hottest_celsius=88.5, usual_percent=200, lowest_percent=75
    )
    hot = plain.model_copy(update={"thermal": heat, "times": {**plain.times, "paced": 60.0}})
    assert causes(hot) == ["thermal-backoff"]
    finding = diagnose(hot).findings[0]
    assert "88.5 °C" in finding.summary
    assert finding.evidence["lowest_percent"] == 75
    cool = heat.model_copy(update={"lowest_percent": 200})
    assert causes(plain.model_copy(update={"thermal": cool})) == []


def test_no_faces(plain: RunManifest) -> None:
    """It says what may help, and not how a run that found nobody would be faster."""
    assert plain.result is not None
    nobody = plain.model_copy(
        update={"result": plain.result.model_copy(update={"detections": 0, "tracks": 0})}
    )
    assert causes(nobody) == ["no-faces"]
    found = {finding.code: finding for finding in diagnose(nobody).findings}
    assert "det_thresh" in found["no-faces"].action
    assert found["bound-by"].action == ""
    assert "no-faces" not in {finding.code for finding in diagnose(plain).findings}


@pytest.mark.parametrize(("waited", "is_busy"), [(None, False), (0.2, False), (30.0, True)])
def test_other_programs(plain: RunManifest, waited: float | None, is_busy: bool) -> None:
    """Then nothing is advised that would not help."""
    assert plain.cpu is not None
    cpu = plain.cpu.model_copy(update={"waited_seconds": waited, "seconds": 20.0})
    found = {f.code: f for f in diagnose(plain.model_copy(update={"cpu": cpu})).findings}
    assert ("host-busy" in found) == is_busy
    assert (found["bound-by"].action == "") == is_busy


@pytest.mark.alone
@pytest.mark.parametrize("is_busy", [False, True])
def test_other_programs_are_noticed(data_root: Path, is_busy: bool) -> None:
    loop = [sys.executable, "-c", "while True: pass"]
    loops = [
        subprocess.Popen(loop) for _ in range(2 * len(os.sched_getaffinity(0)) if is_busy else 0)
    ]
    try:
        found = run(data_root, "show", *PLAIN)
    finally:
        for each in loops:
            each.kill()
            each.wait()
    assert ("host-busy" in {f.code for f in diagnose(found).findings}) == is_busy


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"launcher_fingerprint": "0123456789abcdef"}, "server-runs-old-code"),
        ({"provider": "CUDAExecutionProvider"}, "cpu-fallback"),
        ({"status": "interrupted", "exit_reason": "The run was killed."}, "not-completed"),
    ],
)
def test_what_cannot_be_produced_here(plain: RunManifest, changes: dict, code: str) -> None:
    assert causes(plain.model_copy(update=changes)) == [code]


@pytest.mark.trap(12, 17)
@pytest.mark.trap(21)
def test_a_provider_that_won_the_benchmark_is_no_fallback(plain: RunManifest) -> None:
    """`auto` led to OpenVINO, and the CPU's own provider was faster."""
    device = plain.options.model_copy(update={"device": "openvino"})
    changes = {"options": device, "sources": {**plain.sources, "device": "default"}}
    assert causes(plain.model_copy(update=changes)) == ["cpu-fallback"]
    probe = ProviderProbe(chosen=str(plain.provider), milliseconds={}, picture=[1, 1], threads=1)
    assert causes(plain.model_copy(update={**changes, "provider_probe": probe})) == []


@pytest.mark.parametrize("threads", [{"detector": 0}, {"detector": 64}, {"busy": 3}, {"blas": 2}])
def test_thread_limit_missing(plain: RunManifest, threads: dict) -> None:
    changed = plain.model_copy(update={"threads": {**plain.threads, **threads}})
    assert causes(changed) == ["thread-limit-missing"]


def test_frames_missing(plain: RunManifest) -> None:
    changed = plain.model_copy(update={"counts": {**plain.counts, "frames_done": 40}})
    assert causes(changed) == ["frames-not-as-expected"]


def test_cap_exceeded(plain: RunManifest) -> None:
    assert plain.cpu is not None
    used = plain.cpu.mean_percent
    assert causes(plain.model_copy(update={"cpu_limit_percent": used / 2})) == ["cap-exceeded"]
    assert causes(plain.model_copy(update={"cpu_limit_percent": 2 * used})) == []


def test_a_manifest_of_a_run_that_has_only_begun(plain: RunManifest) -> None:
    begun = plain.model_copy(
        update={
            "status": "running",
            "provider": None,
            "video": None,
            "effective_stride": None,
            "counts": {},
            "times": {},
            "threads": {},
            "cpu": None,
            "result": None,
        }
    )
    assert diagnose(begun).findings == []
