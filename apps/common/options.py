"""What one run does: the request, the resolved options, and the pure function between them.

Precedence: request > environment (`SCREENALYTICS_<FIELD>`) > profile > defaults; then the host's
limits cap. Each value's source is kept, so that a run's report can tell why it did what it did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from pydantic_core import PydanticCustomError

from apps.common.config import RunDefaults, model_registry, run_defaults
from apps.common.errors import AcceleratorMissing, InvalidInput

Device = Literal["cpu", "cuda", "coreml", "openvino"]
Precision = Literal["float32", "int8"]
SmallFaces = Literal["off", "second_look"]
FloatType = Literal["float32", "bfloat16"]
EXPECTED_DECODED = 0.95  # of the frames to process; fewer are a problem, and told so
ENV_PREFIX = "SCREENALYTICS_"
T = TypeVar("T")

PROVIDER_OF_DEVICE: dict[Device, str] = {
    "coreml": "CoreMLExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
# OpenVINO runs on the CPU as well; where `auto` leads to it, it must be the faster of the two.
AUTO_DEVICE_ORDER: tuple[Device, ...] = ("coreml", "cuda", "openvino", "cpu")
_EIGHT_BIT_DEVICES: tuple[Device, ...] = ("openvino", "cpu")


def _stream_choice(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError:
        raise PydanticCustomError(
            "video_stream", "Input should be the number of a stream, 0 to 1000, or 'auto'"
        ) from None


VideoStreamChoice = Annotated[
    Annotated[int, Field(ge=0, le=1000)] | Literal["auto"], WrapValidator(_stream_choice)
]


class RunRequest(BaseModel):
    """What a caller may ask of a run. An absent field is None: the profile decides."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    profile: str | None = Field(None, max_length=64, description="A name from GET /options.")
    stride: int | None = Field(None, ge=1, le=100_000, description="Process every n-th frame.")
    fps: float | None = Field(
        None, ge=0.001, le=1000, description="Process at most this many frames a second of video."
    )
    device: str | None = Field(
        None, max_length=32, description="auto, cpu, openvino, cuda, coreml or alias."
    )
    detector: str | None = Field(None, max_length=64, description="auto, centerface, retinaface.")
    det_size: int | None = Field(
        None, ge=64, le=4096, description="Bound of the detector picture's long side, pixels."
    )
    det_thresh: float | None = Field(
        None, ge=0.01, le=0.99, description="Least confidence of a detection."
    )
    cpu_threads: int | None = Field(None, ge=1, le=1024, description="Compute threads of the run.")
    max_cpu_percent: float | None = Field(
        None, ge=5, le=102_400, description="CPU budget of the run; 100 is one core."
    )
    precision: Precision | None = Field(
        None, description="Arithmetic of the detector: float32, or int8 (faster on a CPU)."
    )
    small_faces: SmallFaces | None = Field(
        None,
        description="off, or second_look: doubtful small faces are looked at again, enlarged "
        "(at most one more inference a frame).",
    )
    video_stream: VideoStreamChoice | None = Field(
        None, description="Number of the video stream in the file, or auto: as players choose."
    )
    save_crops: bool | None = Field(None, description="Write a picture of every tracked face.")
    save_preview: bool | None = Field(None, description="Write a video with boxes and track ids.")
    allow_cpu_fallback: bool | None = Field(
        None, description="Run on the CPU, with a warning, where the accelerator is missing."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        if isinstance(value, bool) and bool not in get_args(cls.model_fields[name].annotation):
            raise PydanticCustomError("not_boolean", "Input should not be true or false")
        return value


class EnvironmentRequest(RunRequest):
    """What the environment may say: a request's fields, and what is a machine's affair."""

    thermal_backoff: bool | None = Field(None, description="Lower the CPU budget while it is hot.")


class Options(BaseModel):
    """What one run does, fully resolved. Only `max_cpu_percent` may be None: no cap."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str
    device: Device
    device_asked: str
    detector: str
    detector_asked: str = ""  # of manifests that know none
    stride: int = Field(ge=1)
    fps: float = Field(gt=0)
    det_size: int
    det_thresh: float
    cpu_threads: int = Field(ge=1)
    max_cpu_percent: float | None
    thermal_backoff: bool = False  # of manifests that know none
    precision: Precision = "float32"  # of manifests that know none
    small_faces: SmallFaces = "off"  # of manifests that know none
    video_stream: VideoStreamChoice = "auto"  # of manifests that know none
    save_crops: bool
    save_preview: bool
    allow_cpu_fallback: bool


class Resolution(BaseModel):
    """Options, where each came from, and what the caller must be told about them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    options: Options
    sources: dict[str, str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class HostFacts:
    """What resolution must know of the host, as plain values.

    Args:
        providers: ONNX Runtime's execution providers, e.g. ("CPUExecutionProvider",).
        detectors_on_disk: detectors whose weights need no download.
        thread_limit: most threads a run may have, >= 1.
        thread_limit_source: which limit that is, e.g. "limit:cores".
    """

    providers: tuple[str, ...]
    detectors_on_disk: frozenset[str]
    thread_limit: int
    thread_limit_source: str = "limit:cores"


def resolve(
    request: RunRequest,
    environ: Mapping[str, str],
    host: HostFacts,
    defaults: RunDefaults | None = None,
) -> Resolution:
    """Turns a request into options. Pure: the same arguments give the same result.

    Args:
        request: validated requested of the caller.
        environ: environment variables; only `SCREENALYTICS_<FIELD>` are read.
        host: facts of the machine that will run.
        defaults: the tables of `config/profiles.toml`; those on disk by default.

    Raises:
        InvalidInput: an unknown profile, device or detector (the message lists what is allowed),
            or an environment variable that is not a value of its field.
        AcceleratorMissing: the device is not there and `allow_cpu_fallback` is off.
    """
    tables = run_defaults() if defaults is None else defaults
    layers = _Layers(request, _request_from_environ(environ))
    warnings: list[str] = []

    allow_fallback = layers.pick("allow_cpu_fallback", tables.defaults.allow_cpu_fallback)
    asked = layers.pick("device", tables.defaults.device)
    device, note = _resolve_device(asked, layers.sources["device"], allow_fallback, host, tables)
    if note is not None:
        warnings.append(note)
        layers.sources["device"] += ", fallback:cpu"

    name = layers.pick("profile", tables.profile_for_device[device], f"device:{device}")
    profile = _lookup("profile", name, tables.profiles, layers.sources["profile"])
    wanted = layers.pick("detector", tables.defaults.detector)
    detector = _resolve_detector(wanted, layers.sources["detector"], host.detectors_on_disk)
    det_size = tables.det_size.coreml if device == "coreml" else tables.det_size.default
    from_profile = f"profile:{name}"
    options = Options(
        profile=name,
        device=device,
        device_asked=asked,
        detector=detector,
        detector_asked=wanted,
        stride=layers.pick("stride", profile.stride, from_profile),
        fps=layers.pick("fps", profile.fps, from_profile),
        det_size=layers.pick("det_size", det_size, f"device:{device}"),
        det_thresh=layers.pick(
            "det_thresh", model_registry().detectors[detector].det_thresh, f"detector:{detector}"
        ),
        cpu_threads=_capped_threads(layers, profile.cpu_threads, from_profile, host),
        max_cpu_percent=layers.pick("max_cpu_percent", profile.max_cpu_percent, from_profile),
        thermal_backoff=layers.pick("thermal_backoff", profile.thermal_backoff, from_profile),
        precision=_resolve_precision(layers, tables.defaults.precision, device),
        small_faces=layers.pick("small_faces", tables.defaults.small_faces),
        video_stream=layers.pick("video_stream", tables.defaults.video_stream),
        save_crops=layers.pick("save_crops", tables.defaults.save_crops),
        save_preview=layers.pick("save_preview", tables.defaults.save_preview),
        allow_cpu_fallback=allow_fallback,
    )
    return Resolution(options=options, sources=layers.sources, warnings=tuple(warnings))


def provider_rivals(options: Options) -> tuple[str, ...]:
    """Providers that the device's own must beat in a benchmark before it is taken."""
    if options.device == "openvino" and options.device_asked.lower() == "auto":
        return (PROVIDER_OF_DEVICE["cpu"],)
    return ()


def device_of(provider: str) -> Device:
    """The device that a provider runs."""
    return next(device for device, name in PROVIDER_OF_DEVICE.items() if name == provider)


def cap_threads(resolution: Resolution, limit: int, source: str) -> Resolution:
    """The same resolution on a host that allows fewer threads.

    Args:
        limit: most threads, >= 1.
        source: which limit that is.
    """
    options = resolution.options
    if options.cpu_threads <= limit:
        return resolution
    return resolution.model_copy(
        update={
            "options": options.model_copy(update={"cpu_threads": limit}),
            "sources": {**resolution.sources, "cpu_threads": source},
        }
    )


def with_detectors(resolution: Resolution, on_disk: frozenset[str]) -> Resolution:
    """The same resolution on a host with other weights: what `auto` means is decided again.

    Args:
        on_disk: detectors that need no download there.
    """
    options, sources = resolution.options, resolution.sources
    asked = options.detector_asked or options.detector
    detector = _resolve_detector(asked, sources.get("detector", ""), on_disk)
    if detector == options.detector:
        return resolution
    changes: dict[str, Any] = {"detector": detector}
    if sources.get("det_thresh") == f"detector:{options.detector}":
        changes["det_thresh"] = model_registry().detectors[detector].det_thresh
        sources = {**sources, "det_thresh": f"detector:{detector}"}
    return resolution.model_copy(
        update={"options": options.model_copy(update=changes), "sources": sources}
    )


def with_warning(resolution: Resolution, warning: str) -> Resolution:
    """The same resolution, with one more thing that the caller must be told."""
    return resolution.model_copy(update={"warnings": (*resolution.warnings, warning)})


def effective_stride(stride: int, fps: float, source_fps: float) -> int:
    """Frames 0, s, 2s, ... are processed.

    Args:
        stride: the option, >= 1.
        fps: the option: processed frames a second of video are at most about this, > 0.
        source_fps: mean frame rate of the video, > 0.

    Returns:
        `max(stride, round(source_fps / fps))`, at least 1.
    """
    return max(1, stride, round(source_fps / fps))


def stride_warning(options: Options, sources: Mapping[str, str], source_fps: float) -> str | None:
    """What to tell a caller whose own stride gives way to the limit on frames a second.

    Args:
        options, sources: of a resolution.
        source_fps: mean frame rate of the video, > 0.

    Returns:
        None where the stride is applied as it is, or where nobody asked for one.
    """
    stride = effective_stride(options.stride, options.fps, source_fps)
    wanted_by, limited_by = sources.get("stride", ""), sources.get("fps", "")
    is_wanted = wanted_by.startswith(("request", "env:"))
    if stride == options.stride or not is_wanted:
        return None
    enough = math.ceil(source_fps / options.stride)
    return (
        f"The stride is {stride}, not {options.stride} ({wanted_by}): fps {options.fps:g} "
        f"({limited_by}) allows no more frames of a video of {source_fps:g} fps. "
        f"For stride {options.stride} ask for fps {enough} or more as well."
    )


def sampled_count(frames: int, stride: int) -> int:
    """How many of `frames` frames lie on the grid 0, stride, 2*stride, ..."""
    return math.ceil(frames / stride)


class _Layers:
    """The visible precedence: request, environment, fallback; remembers who answered."""

    def __init__(self, request: RunRequest, environment: EnvironmentRequest) -> None:
        self._request = request
        self._environment = environment
        self.sources: dict[str, str] = {}

    def pick(self, field: str, fallback: Any, fallback_source: str = "default") -> Any:
        candidates = (
            (getattr(self._request, field, None), "request"),
            (getattr(self._environment, field), f"env:{ENV_PREFIX}{field.upper()}"),
            (fallback, fallback_source),
        )
        for value, source in candidates:
            if value is not None:
                self.sources[field] = source
                return value
        self.sources[field] = fallback_source
        return None


def _request_from_environ(environ: Mapping[str, str]) -> EnvironmentRequest:
    values = {
        field: environ[name].strip()
        for field in EnvironmentRequest.model_fields
        if environ.get(name := f"{ENV_PREFIX}{field.upper()}", "").strip() != ""
    }
    try:
        return EnvironmentRequest.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0])
        raise InvalidInput(
            f"{ENV_PREFIX}{field.upper()}={values[field]!r}: {first['msg']}.",
            hint="Correct or unset this environment variable, then start again.",
            field=field,
        ) from None


def _lookup(what: str, name: str, table: Mapping[str, T], source: str) -> T:
    if name not in table:
        where = f" in {source.removeprefix('env:')}" if source.startswith("env:") else ""
        raise InvalidInput(
            f"Unknown {what} {name!r}{where}.",
            hint=f"Allowed: {', '.join(sorted(table))}.",
            field=what,
            allowed=sorted(table),
        )
    return table[name]


def _resolve_device(
    asked: str, source: str, allow_fallback: bool, host: HostFacts, tables: RunDefaults
) -> tuple[Device, str | None]:
    names: dict[str, str] = {name: name for name in ("auto", *PROVIDER_OF_DEVICE)}
    canonical = _lookup("device", asked.lower(), {**names, **tables.device_aliases}, source)
    if canonical == "auto":
        for device in AUTO_DEVICE_ORDER:
            if PROVIDER_OF_DEVICE[device] in host.providers:
                return device, None
        return "cpu", None
    device = next(d for d in PROVIDER_OF_DEVICE if d == canonical)
    provider = PROVIDER_OF_DEVICE[device]
    if device == "cpu" or provider in host.providers:
        return device, None
    there = ", ".join(host.providers)
    if allow_fallback:
        return (
            "cpu",
            f"{asked} was asked for but {provider} is missing (there: {there}): ran on CPU.",
        )
    raise AcceleratorMissing(
        f"Device {asked!r} needs {provider}; this machine offers {there}.",
        hint="Install the ONNX Runtime build for it, use device 'cpu' or 'auto', or set "
        "allow_cpu_fallback to run on the CPU.",
        providers=list(host.providers),
    )


def _resolve_detector(asked: str, source: str, on_disk: frozenset[str]) -> str:
    allowed = {"auto": "auto", **{name: name for name in model_registry().detectors}}
    name = _lookup("detector", asked.lower(), allowed, source)
    if name == "auto":
        return "retinaface" if "retinaface" in on_disk else "centerface"
    return name


def _resolve_precision(layers: _Layers, fallback: Precision, device: Device) -> Precision:
    precision: Precision = layers.pick("precision", fallback)
    if precision == "int8" and device not in _EIGHT_BIT_DEVICES:
        raise InvalidInput(
            f"Precision 'int8' is not for device {device!r}.",
            hint="Use device 'cpu' or 'openvino', or precision 'float32'.",
            field="precision",
        )
    return precision


def _capped_threads(layers: _Layers, fallback: int, source: str, host: HostFacts) -> int:
    threads = int(layers.pick("cpu_threads", fallback, source))
    if threads > host.thread_limit:
        layers.sources["cpu_threads"] = host.thread_limit_source
        return host.thread_limit
    return max(1, threads)
