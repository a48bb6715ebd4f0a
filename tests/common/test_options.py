"""Options are resolved as section 2 and 3 of the contract say (trap 11)."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.common.config import run_defaults
from apps.common.errors import AcceleratorMissing, InvalidInput
from apps.common.options import (
    PROVIDER_OF_DEVICE,
    Options,
    RunRequest,
    device_of,
    effective_stride,
    provider_rivals,
    sampled_count,
    stride_warning,
)
from apps.common.resolve import HostFacts, resolve, with_detectors

COREML, CUDA, OPENVINO, CPU = (
    "CoreMLExecutionProvider",
    "CUDAExecutionProvider",
    "OpenVINOExecutionProvider",
    "CPUExecutionProvider",
)
# A host with everything and many threads, so that nothing but the tested rule decides.
HOST = HostFacts((COREML, CUDA, OPENVINO, CPU), frozenset({"centerface"}), thread_limit=64)
CPU_HOST = replace(HOST, providers=(CPU,))

# Contract, section 2; written out again on purpose, against the file in config/.
PROFILES = [
    ("low_power", 12, 15, 2, 200),
    ("balanced", 6, 24, 4, 250),
    ("performance", 4, 30, 8, None),
]
PROFILE_NAMES = [row[0] for row in PROFILES]
ALIASES = ["mps", "metal", "apple"]


def ask(**fields: Any) -> RunRequest:
    return RunRequest(**fields)


# --- profiles ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "stride", "fps", "threads", "percent"), PROFILES)
def test_profile_table(
    name: str, stride: int, fps: float, threads: int, percent: float | None
) -> None:
    result = resolve(ask(profile=name, device="cpu"), {}, HOST)

    got = result.options
    assert (got.profile, got.stride, got.fps, got.cpu_threads, got.max_cpu_percent) == (
        name,
        stride,
        fps,
        threads,
        percent,
    )
    assert result.sources["profile"] == "request"
    for field in ("stride", "fps", "cpu_threads", "max_cpu_percent"):
        assert result.sources[field] == f"profile:{name}"


def test_there_are_no_other_profiles() -> None:
    assert sorted(run_defaults().profiles) == sorted(PROFILE_NAMES)


@pytest.mark.parametrize(
    ("device", "resolved", "profile", "det_size"),
    [
        ("cpu", "cpu", "low_power", 640),
        ("coreml", "coreml", "low_power", 480),
        *[(alias, "coreml", "low_power", 480) for alias in ALIASES],
        ("openvino", "openvino", "low_power", 640),
        ("CUDA", "cuda", "balanced", 640),
        ("cuda", "cuda", "balanced", 640),
    ],
)
def test_profile_and_size_by_device(
    device: str, resolved: str, profile: str, det_size: int
) -> None:
    result = resolve(ask(device=device), {}, HOST)

    assert result.options.device == resolved
    assert result.options.device_asked == device
    assert result.options.profile == profile
    assert result.options.det_size == det_size
    assert result.sources["profile"] == f"device:{resolved}"
    assert result.sources["det_size"] == f"device:{resolved}"
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("providers", "device", "profile"),
    [
        ((CPU,), "cpu", "low_power"),
        ((CPU, CUDA), "cuda", "balanced"),
        ((CPU, OPENVINO), "openvino", "low_power"),
        ((CPU, OPENVINO, CUDA), "cuda", "balanced"),
        ((CUDA, COREML, CPU), "coreml", "low_power"),
        (("AzureExecutionProvider", CPU), "cpu", "low_power"),
        ((), "cpu", "low_power"),
    ],
)
@pytest.mark.parametrize("request_", [ask(), ask(device="auto"), ask(device="AUTO")])
def test_auto_takes_what_the_host_offers(
    request_: RunRequest, providers: tuple[str, ...], device: str, profile: str
) -> None:
    result = resolve(request_, {}, replace(HOST, providers=providers))

    assert (result.options.device, result.options.profile) == (device, profile)
    assert result.warnings == ()


# --- precedence -------------------------------------------------------------------------------

# field, value in the request, value in the environment, value below both, its source
PRECEDENCE: list[tuple[str, Any, Any, Any, str]] = [
    ("profile", "performance", "low_power", "balanced", "device:cuda"),
    ("device", "cuda", "cpu", "auto", "default"),
    ("detector", "retinaface", "centerface", "centerface", "default"),
    ("stride", 3, 5, 6, "profile:balanced"),
    ("fps", 10.5, 12.5, 24.0, "profile:balanced"),
    ("det_size", 320, 960, 640, "device:cuda"),
    ("det_thresh", 0.25, 0.75, 0.5, "detector:centerface"),
    ("cpu_threads", 3, 5, 4, "profile:balanced"),
    ("max_cpu_percent", 120.0, 150.0, 250.0, "profile:balanced"),
    ("precision", "float32", "float32", "float32", "default"),
    ("small_faces", "off", "second_look", "off", "default"),
    ("decode", "exact", "fast", "exact", "default"),
    ("decoder", "hardware", "auto", "software", "default"),
    ("reuse_still", True, False, False, "default"),
    ("people", False, False, True, "profile:balanced"),
    ("video_stream", 2, 1, "auto", "default"),
    ("save_crops", True, True, False, "default"),
    ("save_preview", False, True, False, "default"),
    ("allow_cpu_fallback", False, True, False, "default"),
]
THERMAL = "env:SCREENALYTICS_THERMAL_BACKOFF"
CUDA_HOST = replace(HOST, providers=(CUDA, CPU))


def test_the_precedence_table_has_every_field() -> None:
    assert [row[0] for row in PRECEDENCE] == list(RunRequest.model_fields)


def asked_for(field: str) -> str:
    """`device` in the options is what it came to; the wanted stands beside it."""
    return "device_asked" if field == "device" else field


@pytest.mark.parametrize(("field", "wanted", "env", "below", "source"), PRECEDENCE)
def test_request_over_environment_over_profile(
    field: str, wanted: Any, env: Any, below: Any, source: str
) -> None:
    name = f"SCREENALYTICS_{field.upper()}"
    cases = [
        (ask(**{field: wanted}), {name: str(env)}, wanted, "request"),
        (ask(), {name: f" {env} "}, env, f"env:{name}"),
        (ask(), {}, below, source),
        (ask(), {name: " "}, below, source),  # set to nothing is not set
    ]
    for request_, environ, value, expected_source in cases:
        result = resolve(request_, environ, CUDA_HOST)

        assert getattr(result.options, asked_for(field)) == value
        assert result.sources[field] == expected_source


@pytest.mark.parametrize(
    ("profile", "environ", "value", "source"),
    [
        ("low_power", {}, True, "profile:low_power"),
        ("balanced", {}, False, "profile:balanced"),
        ("low_power", {"SCREENALYTICS_THERMAL_BACKOFF": "0"}, False, THERMAL),
        ("performance", {"SCREENALYTICS_THERMAL_BACKOFF": "true"}, True, THERMAL),
    ],
)
def test_thermal_backoff_is_the_profiles_and_the_environments_affair(
    profile: str, environ: dict[str, str], value: bool, source: str
) -> None:
    result = resolve(ask(profile=profile), environ, CPU_HOST)

    assert result.options.thermal_backoff is value
    assert result.sources["thermal_backoff"] == source
    assert "thermal_backoff" not in RunRequest.model_fields


def test_a_thermal_backoff_that_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(InvalidInput, match="SCREENALYTICS_THERMAL_BACKOFF='warm'"):
        resolve(ask(), {"SCREENALYTICS_THERMAL_BACKOFF": "warm"}, CPU_HOST)


def test_a_profile_of_the_environment_gives_its_values() -> None:
    result = resolve(ask(), {"SCREENALYTICS_PROFILE": "performance"}, CPU_HOST)

    assert result.sources["profile"] == "env:SCREENALYTICS_PROFILE"
    assert (result.options.stride, result.sources["stride"]) == (4, "profile:performance")


def test_every_value_has_a_source() -> None:
    result = resolve(ask(), {}, HOST)

    assert set(result.sources) == set(Options.model_fields) - {"device_asked", "detector_asked"}


# --- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit_source", ["limit:cores", "limit:SCREENALYTICS_MAX_CPU_THREADS"])
@pytest.mark.parametrize(
    ("request_", "environ"),
    [
        (ask(cpu_threads=9), {}),
        (ask(), {"SCREENALYTICS_CPU_THREADS": "9"}),
        (ask(profile="performance"), {}),
    ],
)
def test_the_host_caps_threads(
    request_: RunRequest, environ: dict[str, str], limit_source: str
) -> None:
    host = replace(CPU_HOST, thread_limit=3, thread_limit_source=limit_source)

    result = resolve(request_, environ, host)

    assert result.options.cpu_threads == 3
    assert result.sources["cpu_threads"] == limit_source


def test_a_limit_that_does_not_bind_is_not_named() -> None:
    result = resolve(ask(cpu_threads=3), {}, replace(CPU_HOST, thread_limit=3))

    assert (result.options.cpu_threads, result.sources["cpu_threads"]) == (3, "request")


maybe = st.none
requests = st.builds(
    RunRequest,
    profile=maybe() | st.sampled_from(PROFILE_NAMES),
    stride=maybe() | st.integers(1, 100_000),
    fps=maybe() | st.floats(0.001, 1000),
    device=maybe() | st.sampled_from(["auto", "cpu", "cuda", "coreml", "openvino", *ALIASES]),
    detector=maybe() | st.sampled_from(["auto", "cascade", "centerface", "retinaface", "yunet"]),
    cpu_threads=maybe() | st.integers(1, 1024),
    max_cpu_percent=maybe() | st.floats(5, 102_400),
    allow_cpu_fallback=st.just(True),
)
environs = st.fixed_dictionaries(
    {},
    optional={
        "SCREENALYTICS_CPU_THREADS": st.integers(1, 1024).map(str),
        "SCREENALYTICS_PROFILE": st.sampled_from(PROFILE_NAMES),
        "SCREENALYTICS_DEVICE": st.sampled_from(["auto", "cpu", "cuda", "apple"]),
        "UNRELATED": st.text(),
    },
)
hosts = st.builds(
    HostFacts,
    providers=st.lists(st.sampled_from([COREML, CUDA, OPENVINO, CPU]), unique=True).map(tuple),
    detectors_on_disk=st.sampled_from([frozenset(), frozenset({"centerface", "retinaface"})]),
    thread_limit=st.integers(1, 256),
)


@given(requests, environs, hosts)
def test_resolution_is_complete_capped_and_pure(
    request_: RunRequest, environ: dict[str, str], host: HostFacts
) -> None:
    process_environment = dict(os.environ)
    given_environ = dict(environ)

    result = resolve(request_, environ, host)

    assert resolve(request_, environ, host) == result
    assert environ == given_environ
    assert dict(os.environ) == process_environment
    threads = result.options.cpu_threads
    assert type(threads) is int
    assert 1 <= threads <= host.thread_limit
    empty = {name for name, value in result.options if value is None}
    assert empty <= {"max_cpu_percent"}
    if empty:
        assert result.options.profile == "performance"
        assert request_.max_cpu_percent is None


def test_the_process_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCREENALYTICS_STRIDE", "77")

    assert resolve(ask(profile="balanced"), {}, HOST).options.stride == 6


# --- bad values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stride", 0),
        ("stride", -1),
        ("stride", -3),
        ("stride", 10**9),
        ("stride", 1.5),
        ("fps", float("nan")),
        ("fps", float("inf")),
        ("fps", 0),
        ("fps", -24),
        ("fps", 5e-324),  # the least that a float can be
        ("det_thresh", 2),
        ("det_thresh", 0),
        ("det_thresh", float("nan")),
        ("det_size", 0),
        ("det_size", 10**6),
        ("cpu_threads", 0),
        ("cpu_threads", 10_000),
        ("max_cpu_percent", 0),
        ("max_cpu_percent", float("inf")),
        ("profile", "x" * 10_000),
        ("device", "x" * 10_000),
        ("precision", "int4"),
        ("small_faces", "tiles"),
        ("save_crops", "perhaps"),
        ("strides", 6),  # unknown fields
        ("data_root", "/"),
    ],
)
def test_bad_requests_are_refused_by_field(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        RunRequest.model_validate({field: value})

    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    ("field", "allowed"),
    [
        ("profile", PROFILE_NAMES),
        ("device", ["auto", "cpu", "cuda", "coreml", "openvino", *ALIASES]),
        ("detector", ["auto", "cascade", "centerface", "retinaface", "yunet"]),
    ],
)
@pytest.mark.parametrize("name", ["nope", "", "cpu ", "балансед", "../balanced"])
def test_unknown_names_list_what_is_allowed(field: str, allowed: list[str], name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve(ask(**{field: name}), {}, HOST)

    error = caught.value
    assert repr(name) in error.detail
    assert error.extra["field"] == field
    assert error.extra["allowed"] == sorted(allowed)
    assert error.hint is not None
    assert all(word in error.hint for word in allowed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCREENALYTICS_STRIDE", "0"),
        ("SCREENALYTICS_STRIDE", "six"),
        ("SCREENALYTICS_FPS", "nan"),
        ("SCREENALYTICS_FPS", "inf"),
        ("SCREENALYTICS_DET_THRESH", "2"),
        ("SCREENALYTICS_CPU_THREADS", "0"),
        ("SCREENALYTICS_CPU_THREADS", "2.5"),
        ("SCREENALYTICS_MAX_CPU_PERCENT", "lots"),
        ("SCREENALYTICS_PRECISION", "INT16"),
        ("SCREENALYTICS_SMALL_FACES", "yes"),
        ("SCREENALYTICS_SAVE_CROPS", "perhaps"),
        ("SCREENALYTICS_PROFILE", "turbo"),
        ("SCREENALYTICS_DEVICE", "tpu"),
        ("SCREENALYTICS_DETECTOR", "yolo"),
    ],
)
def test_bad_environment_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve(ask(), {name: value}, HOST)

    assert name in f"{caught.value.detail} {caught.value.hint}"
    assert value in caught.value.detail


# --- accelerators -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "provider"),
    [("cuda", CUDA), ("openvino", OPENVINO), ("coreml", COREML), *[(a, COREML) for a in ALIASES]],
)
def test_a_missing_accelerator_fails_fast(device: str, provider: str) -> None:
    host = replace(HOST, providers=("AzureExecutionProvider", CPU))

    with pytest.raises(AcceleratorMissing) as caught:
        resolve(ask(device=device), {}, host)

    assert provider in caught.value.detail
    assert all(there in caught.value.detail for there in host.providers)
    assert caught.value.extra["providers"] == list(host.providers)


@pytest.mark.parametrize("device", ["cuda", "coreml", "mps", "openvino"])
@pytest.mark.parametrize(
    ("request_", "environ"),
    [({"allow_cpu_fallback": True}, {}), ({}, {"SCREENALYTICS_ALLOW_CPU_FALLBACK": "true"})],
)
def test_fallback_runs_on_cpu_and_says_so(
    request_: dict[str, Any], environ: dict[str, str], device: str
) -> None:
    result = resolve(ask(device=device, **request_), environ, CPU_HOST)

    assert result.options.device == "cpu"
    assert result.options.device_asked == device
    assert result.options.profile == "low_power"
    assert result.options.det_size == 640
    assert "fallback" in result.sources["device"]
    (warning,) = result.warnings
    assert device in warning
    assert CPU in warning


# --- precision --------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "openvino"])
@pytest.mark.parametrize(
    ("wanted", "environ", "source"),
    [
        ("int8", {"SCREENALYTICS_PRECISION": "float32"}, "request"),
        (None, {"SCREENALYTICS_PRECISION": "int8"}, "env:SCREENALYTICS_PRECISION"),
    ],
)
def test_eight_bits_on_the_cpu(
    device: str, wanted: str | None, environ: dict[str, str], source: str
) -> None:
    result = resolve(ask(device=device, precision=wanted), environ, HOST)

    assert (result.options.precision, result.sources["precision"]) == ("int8", source)


@pytest.mark.parametrize("device", ["cuda", "coreml"])
def test_eight_bits_elsewhere_are_refused(device: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve(ask(device=device, precision="int8"), {}, HOST)

    assert device in caught.value.detail
    assert caught.value.extra["field"] == "precision"


def test_options_of_older_manifests_have_a_precision_and_no_second_look() -> None:
    body = resolve(ask(), {}, HOST).options.model_dump()
    del body["precision"], body["small_faces"]

    assert Options.model_validate(body).precision == "float32"
    assert Options.model_validate(body).small_faces == "off"


def test_an_unknown_way_to_treat_small_faces_lists_what_is_allowed() -> None:
    with pytest.raises(ValidationError, match="'off' or 'second_look'"):
        ask(small_faces="tiles")
    with pytest.raises(InvalidInput, match="'off' or 'second_look'"):
        resolve(ask(), {"SCREENALYTICS_SMALL_FACES": "tiles"}, HOST)


@pytest.mark.parametrize(
    ("device", "providers", "rivals"),
    [
        ("auto", (OPENVINO, CPU), (CPU,)),
        ("AUTO", (OPENVINO, CPU), (CPU,)),
        ("openvino", (OPENVINO, CPU), ()),  # asked for, so it is taken
        ("auto", (CPU,), ()),
        ("auto", (CUDA, OPENVINO, CPU), (CPU,)),
        ("cuda", (CUDA, CPU), ()),
    ],
)
def test_only_auto_benchmarks_providers(
    device: str, providers: tuple[str, ...], rivals: tuple[str, ...]
) -> None:
    result = resolve(ask(device=device), {}, replace(HOST, providers=providers))

    assert provider_rivals(result.options) == rivals


@pytest.mark.parametrize("device", ["cpu", "cuda", "coreml", "openvino"])
def test_a_provider_runs_one_device(device: str) -> None:
    assert device_of(resolve_provider(device)) == device


def resolve_provider(device: str) -> str:
    return PROVIDER_OF_DEVICE[resolve(ask(device=device), {}, HOST).options.device]


# --- detectors and sizes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "on_disk", "detector"),
    [
        (None, {"centerface"}, "centerface"),
        ("auto", set(), "centerface"),
        ("auto", {"centerface", "retinaface"}, "retinaface"),
        ("centerface", {"centerface", "retinaface"}, "centerface"),
        ("RetinaFace", {"centerface"}, "retinaface"),
        ("auto", {"centerface", "yunet"}, "centerface"),
        ("yunet", {"centerface"}, "yunet"),
    ],
)
def test_detector(asked: str | None, on_disk: set[str], detector: str) -> None:
    host = replace(HOST, detectors_on_disk=frozenset(on_disk))

    result = resolve(ask(detector=asked), {}, host)

    assert result.options.detector == detector
    assert result.sources["det_thresh"] == f"detector:{detector}"


def test_auto_is_the_detector_whose_weights_were_given() -> None:
    on_disk = frozenset({"centerface", "retinaface", "yunet"})
    host = replace(HOST, detectors_on_disk=on_disk, given_detector="yunet")
    assert resolve(ask(), {}, host).options.detector == "yunet"
    assert resolve(ask(detector="centerface"), {}, host).options.detector == "centerface"
    elsewhere = with_detectors(resolve(ask(), {}, HOST), on_disk, "yunet")
    assert elsewhere.options.detector == "yunet"


@pytest.mark.parametrize("thresh", [None, 0.6])
@pytest.mark.parametrize("asked", [None, "auto", "centerface", "RetinaFace"])
@pytest.mark.parametrize("there", [{"centerface"}, {"centerface", "retinaface"}])
@pytest.mark.parametrize("here", [{"centerface"}, {"centerface", "retinaface"}])
def test_what_auto_means_is_decided_where_the_run_is(
    here: set[str], there: set[str], asked: str | None, thresh: float | None
) -> None:
    request = ask(detector=asked, det_thresh=thresh)
    on = {
        name: replace(HOST, detectors_on_disk=frozenset(weights))
        for name, weights in (("here", here), ("there", there))
    }

    moved = with_detectors(resolve(request, {}, on["here"]), on["there"].detectors_on_disk)

    assert moved == resolve(request, {}, on["there"])


def test_a_resolution_of_an_older_version_keeps_its_detector() -> None:
    result = resolve(ask(), {}, replace(HOST, detectors_on_disk=frozenset({"retinaface"})))
    older = result.options.model_copy(update={"detector_asked": ""})
    result = result.model_copy(update={"options": older})

    assert with_detectors(result, frozenset({"centerface"})) == result


@pytest.mark.parametrize("device", ["cpu", "coreml"])
def test_det_size_overrides_the_device(device: str) -> None:
    result = resolve(ask(device=device, det_size=512), {}, HOST)

    assert (result.options.det_size, result.sources["det_size"]) == (512, "request")


# --- stride -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stride", "fps", "source_fps", "expected"),
    [
        (6, 24, 24, 6),
        (6, 24, 29.97, 6),
        (1, 24, 29.97, 1),
        (2, 15, 60, 4),
        (12, 15, 25, 12),
        (4, 30, 120, 4),
        (1, 30, 24, 1),
        (1, 1000, 1, 1),  # round gives 0
        (1, 0.5, 25, 50),
        (1, 24, 1000, 42),  # a camera's time base taken for its rate
    ],
)
def test_effective_stride(stride: int, fps: float, source_fps: float, expected: int) -> None:
    assert effective_stride(stride, fps, source_fps) == expected


@pytest.mark.parametrize(
    ("fields", "environ", "source_fps", "said"),
    [
        ({"stride": 1}, {}, 25.0, ("2, not 1 (request)", "fps 15 (profile:low_power)", "fps 25 ")),
        ({"stride": 1}, {}, 29.97, ("2, not 1 (request)", "of 29.97 fps", "fps 30 ")),
        ({"stride": 3}, {}, 120.0, ("8, not 3 (request)", "fps 40 ")),
        ({"stride": 1, "fps": 5}, {}, 25.0, ("5, not 1 (request)", "fps 5 (request)", "fps 25 ")),
        ({}, {"STRIDE": "1"}, 25.0, ("2, not 1 (env:SCREENALYTICS_STRIDE)", "fps 25 ")),
        ({"stride": 1}, {"FPS": "9"}, 25.0, ("3, not 1", "fps 9 (env:SCREENALYTICS_FPS)")),
    ],
)
def test_a_stride_that_gives_way_is_reported_with_reason_and_remedy(
    fields: dict[str, Any], environ: dict[str, str], source_fps: float, said: tuple[str, ...]
) -> None:
    variables = {f"SCREENALYTICS_{name}": value for name, value in environ.items()}
    found = resolve(ask(device="cpu", **fields), variables, HOST)
    warning = stride_warning(found.options, found.sources, source_fps)
    assert warning is not None
    assert [part for part in said if part not in warning] == []
    enough = float(warning.partition("ask for fps ")[2].split()[0])
    helped = resolve(ask(device="cpu", **{**fields, "fps": enough}), variables, HOST)
    assert stride_warning(helped.options, helped.sources, source_fps) is None


@pytest.mark.parametrize("fields", [{}, {"fps": 5}, {"stride": 12}, {"stride": 2}])
def test_a_stride_that_holds_or_that_nobody_asked_for_is_not_reported(
    fields: dict[str, Any],
) -> None:
    found = resolve(ask(device="cpu", **fields), {}, HOST)
    assert stride_warning(found.options, found.sources, 25.0) is None
    assert stride_warning(found.options, {}, 200.0) is None


@pytest.mark.parametrize(
    ("frames", "stride", "expected"),
    [(61_494, 6, 10_249), (0, 6, 0), (1, 6, 1), (6, 6, 1), (7, 6, 2), (5, 1, 5)],
)
def test_sampled_count(frames: int, stride: int, expected: int) -> None:
    assert sampled_count(frames, stride) == expected


@given(st.integers(0, 10**9), st.integers(1, 100_000))
def test_sampled_count_is_the_length_of_the_grid(frames: int, stride: int) -> None:
    assert sampled_count(frames, stride) == len(range(0, frames, stride))
