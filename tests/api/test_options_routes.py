"""What the host offers, and what a request would come to, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.common.config import model_registry, run_defaults
from apps.common.cpu_limits import usable_cores
from apps.common.options import RunRequest
from lab.processes.service import Server, serving
from tests.api.test_run_files import check_problem

FRAMES = 275  # of `show`, 29.97 a second


def plan(server: Server, **fields: Any) -> dict[str, Any]:
    answer = server.client.post("/options/resolve", json=fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_offer(server: Server) -> None:
    body = server.client.get("/options").json()
    profiles = {p.pop("name"): p for p in body["profiles"]}
    assert profiles == {name: p.model_dump() for name, p in run_defaults().profiles.items()}
    assert profiles["performance"]["max_cpu_percent"] is None
    devices = {d["name"]: (d["provider"], d["available"]) for d in body["devices"]}
    assert set(devices) == {"cpu", "cuda", "coreml", "openvino"}
    assert devices["cpu"] == ("CPUExecutionProvider", True)
    assert devices["cuda"][0] == "CUDAExecutionProvider"
    detectors = {d["name"]: d for d in body["detectors"]}
    assert set(detectors) == set(model_registry().detectors)
    assert (detectors["centerface"]["licence"], detectors["centerface"]["on_disk"]) == ("MIT", True)
    assert detectors["retinaface"]["on_disk"] is False  # the tests' INSIGHTFACE_HOME is empty
    assert "non-commercial" in detectors["retinaface"]["licence"]
    assert (body["thread_limit"], body["thread_limit_source"]) == (usable_cores(), "limit:cores")
    assert body["switches"] == {
        name: value
        for name, value in run_defaults().defaults.model_dump().items()
        if isinstance(value, bool)
    }


def test_the_offer_is_what_runs_are_held_to(server: Server) -> None:
    """Each device says truly whether a run may have it."""
    for device in server.client.get("/options").json()["devices"]:
        answer = server.client.post("/options/resolve", json={"device": device["name"]})
        assert (answer.status_code == 200) == device["available"]
        if device["available"]:
            assert answer.json()["provider"] == device["provider"]


def test_a_plan_is_what_the_run_does(server: Server) -> None:
    """With more threads than there are, and a stride that gives way to the limit with a warning."""
    requested = {"profile": "balanced", "stride": 4, "fps": 1, "det_thresh": 0.6}
    requested |= {"cpu_threads": 500, "det_size": 320}
    planned = plan(server, ep_id="show", **requested)
    result = server.detect_track("show", **requested).json()
    manifest = server.client.get(f"/episodes/show/runs/{result['run_id']}").json()
    assert planned["options"] == result["options"]
    assert planned["sources"] == manifest["sources"]
    assert planned["warnings"]
    assert planned["warnings"] == result["warnings"]
    assert planned["provider"] == result["provider"]
    assert planned["effective_stride"] == manifest["effective_stride"]
    assert planned["frames_total"] == result["frames_total"] == result["frames_done"]


def test_a_plan_without_an_episode(server: Server) -> None:
    body = plan(server)
    assert body["options"]["profile"] == "low_power"
    assert body["sources"]["profile"] == "device:cpu"
    for field in ("effective_stride", "frames_total", "estimate_seconds"):
        assert body[field] is None
    assert body["estimate_runs"] == 0


@pytest.mark.parametrize(
    ("requested", "stride"),
    [({"stride": 1, "fps": 1000}, 1), ({"stride": 1, "fps": 10}, 3), ({"stride": 7, "fps": 10}, 7)],
)
def test_frames_of_the_episode(server: Server, requested: dict[str, Any], stride: int) -> None:
    body = plan(server, ep_id="show", **requested)
    assert body["effective_stride"] == stride
    assert body["frames_total"] == -(-FRAMES // stride)
    warned = [
        f"The stride is {stride}, not {requested['stride']}" in text for text in body["warnings"]
    ]
    assert warned == ([] if stride == requested["stride"] else [True])


def test_a_fallback_is_announced_beforehand(server: Server) -> None:
    available = {d["name"]: d["available"] for d in server.client.get("/options").json()["devices"]}
    missing = next(name for name, there in available.items() if not there)
    problem = check_problem(server.client.post("/options/resolve", json={"device": missing}), 422)
    assert "CPUExecutionProvider" in problem["providers"]
    body = plan(server, device=missing, allow_cpu_fallback=True)
    assert body["provider"] == "CPUExecutionProvider"
    assert any(missing in warning for warning in body["warnings"])


@pytest.mark.parametrize(
    ("requested", "allowed"),
    [
        ({"profile": "fast"}, {"low_power", "balanced", "performance"}),
        ({"device": "tpu"}, {"auto", "cpu", "cuda", "coreml", "openvino", "mps", "metal", "apple"}),
        ({"detector": "yolo"}, {"auto", *model_registry().detectors}),
    ],
)
def test_an_unknown_name_lists_what_is_allowed(server, requested: dict, allowed: set[str]) -> None:
    problem = check_problem(server.client.post("/options/resolve", json=requested), 422)
    assert set(problem["allowed"]) == allowed
    run = server.detect_track("show", **requested)
    assert run.json() == problem


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"ep_id": "nobody"}, 404),
        ({"ep_id": "../show"}, 422),
        ({"ep_id": ""}, 422),
        ({"stride": 0}, 422),
        ({"cpu_threads": "many"}, 422),
        ([], 422),
    ],
    ids=str,
)
def test_refusals(server: Server, body: object, status: int) -> None:
    check_problem(server.client.post("/options/resolve", json=body), status)


def test_an_unknown_field_lists_this_routes_fields(server: Server) -> None:
    answer = server.client.post("/options/resolve", json={"execution_mode": "local"})
    hint = check_problem(answer, 422)["hint"]
    assert "execution_mode" not in hint
    assert all(field in hint for field in (*RunRequest.model_fields, "ep_id"))


def test_a_video_that_cannot_be_read(server: Server, data_root: Path) -> None:
    folder = data_root / "videos" / "broken"
    folder.mkdir()
    (folder / "episode.mp4").write_bytes(b"no video")
    problem = check_problem(server.client.post("/options/resolve", json={"ep_id": "broken"}), 422)
    assert str(data_root) not in str(problem)


def test_estimates_rest_on_earlier_runs(server: Server) -> None:
    """`talk` has no run: what `show` took is scaled to it, until it has its own."""
    requested = {"stride": 24, "det_size": 320, "cpu_threads": 1, "max_cpu_percent": 1000}
    before = plan(server, ep_id="talk", **requested)
    assert (before["estimate_seconds"], before["estimate_runs"]) == (None, 0)

    shown = server.detect_track("show", **requested).json()
    own = plan(server, ep_id="show", **requested)
    assert own["estimate_runs"] == 1
    assert own["estimate_seconds"] == pytest.approx(shown["elapsed_seconds"], abs=0.06)
    denser = plan(server, ep_id="show", **{**requested, "stride": 6})
    assert own["estimate_seconds"] < denser["estimate_seconds"]
    assert denser["estimate_seconds"] < 4.5 * own["estimate_seconds"]
    other = plan(server, ep_id="talk", **requested)
    assert other["estimate_runs"] == 1
    assert 0 < other["estimate_seconds"] < own["estimate_seconds"]  # fewer and smaller frames

    result = server.detect_track("talk", **requested).json()
    again = plan(server, ep_id="talk", **requested)
    assert again["estimate_seconds"] == pytest.approx(result["elapsed_seconds"], abs=0.06)


def test_environment_and_limits_of_the_server_count(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    environment = {"SCREENALYTICS_MAX_CPU_THREADS": "1", "SCREENALYTICS_STRIDE": "9"}
    with serving(root, **environment) as server:
        body = server.client.get("/options").json()
        limit = (body["thread_limit"], body["thread_limit_source"])
        cores = usable_cores()
        name = "SCREENALYTICS_MAX_CPU_THREADS"
        assert limit == ((1, f"limit:{name}") if cores > 1 else (1, "limit:cores"))
        body = plan(server)
        assert body["options"]["stride"] == 9
        assert body["sources"]["stride"] == "env:SCREENALYTICS_STRIDE"
