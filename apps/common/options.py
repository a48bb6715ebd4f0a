"""What one run does: every option is declared once, in `Options`.

What a request and the environment may say, the tables of `config/profiles.toml`, the flags of the
command line, the page's form and `docs/options.md` are made from that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

Device = Literal["cpu", "cuda", "coreml", "openvino"]
Precision = Literal["float32", "int8"]
Decode = Literal["exact", "fast"]
DecoderChoice = Literal["auto", "software", "hardware"]
SmallFaces = Literal["off", "second_look"]
CoreMLUnits = Literal["ALL", "CPUAndNeuralEngine", "CPUAndGPU", "CPUOnly"]
Niceness = Annotated[int, Field(ge=0, le=19)]  # of a process; 0 is normal
FloatType = Literal["float32", "bfloat16"]
EXPECTED_DECODED = 0.95  # of the frames to process; fewer are reported as a problem
ENV_PREFIX = "SCREENALYTICS_"

PROVIDER_OF_DEVICE: dict[Device, str] = {
    "coreml": "CoreMLExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cpu": "CPUExecutionProvider",
}

Usual = Literal["device", "profile", "detector", "default"]
Topic = Literal["work", "machine"]


@dataclass(frozen=True)
class By:
    """Marks a field of `Options` that a caller may decide.

    Args:
        usual: what decides it where no caller does; "default" is a table of its own.
        metavar: stands for its value on the command line.
        step: by how much the buttons of the page's number field change the value.
        topic: what it is about: the work, or how much of the machine that takes.
        asked: type of what a caller says, where the option's own is narrower.
        environment_only: a matter of the machine, which no request decides.
    """

    usual: Usual
    metavar: str = "X"
    step: float = 1
    topic: Topic = "work"
    asked: Any = None
    environment_only: bool = False


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


class Options(BaseModel):
    """What one run does, fully resolved. Only `max_cpu_percent` may be None: no cap."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Annotated[
        str,
        Field(
            title="Profile",
            description="Preset that the others follow: low_power, balanced, performance, or "
            "another name that GET /options lists.",
            max_length=64,
        ),
        By("device", "P"),
    ]
    device: Annotated[
        Device,
        Field(title="Device", description="auto, cpu, openvino, cuda, coreml or an alias."),
        By("default", "D", asked=Annotated[str, Field(max_length=32)]),
    ]
    device_asked: Annotated[str, Field(title="Device asked for")]
    detector: Annotated[
        str,
        Field(title="Detector", description="auto, or one that GET /options lists.", max_length=64),
        By("default", "D"),
    ]
    detector_asked: Annotated[str, Field(title="Detector asked for")] = ""  # of old manifests
    stride: Annotated[
        int,
        Field(title="Stride", description="Process every n-th frame.", ge=1, le=100_000),
        By("profile", "N"),
    ]
    fps: Annotated[
        float,
        Field(
            title="Frames a second of video, at most",
            description="Process at most this many frames a second of video.",
            ge=0.001,
            le=1000,
        ),
        By("profile", "F"),
    ]
    det_size: Annotated[
        int,
        Field(
            title="Detection size",
            description="Bound of the detector picture's long side, pixels.",
            ge=64,
            le=4096,
        ),
        By("device", "N", step=32),
    ]
    det_thresh: Annotated[
        float,
        Field(
            title="Detection threshold",
            description="Least confidence of a detection.",
            ge=0.01,
            le=0.99,
        ),
        By("detector", "X", step=0.05),
    ]
    cpu_threads: Annotated[
        int,
        Field(title="CPU threads", description="Compute threads of the run.", ge=1, le=1024),
        By("profile", "N", topic="machine"),
    ]
    max_cpu_percent: Annotated[
        float | None,
        Field(
            title="CPU cap",
            description="CPU budget of the run; 100 is one core.",
            ge=5,
            le=102_400,
        ),
        By("profile", "N", step=50, topic="machine"),
    ]
    thermal_backoff: Annotated[
        bool,
        Field(
            title="Slower while the CPU is hot",
            description="Lower the CPU budget while it is hot.",
        ),
        By("profile", topic="machine", environment_only=True),
    ] = False  # of old manifests
    precision: Annotated[
        Precision,
        Field(
            title="Precision",
            description="Arithmetic of the detector: float32, or int8 (faster on a CPU).",
        ),
        By("default", "P"),
    ] = "float32"  # of old manifests
    small_faces: Annotated[
        SmallFaces,
        Field(
            title="Small faces",
            description="off, or second_look: doubtful small faces are looked at again, enlarged "
            "(at most one more inference a frame).",
        ),
        By("default", "S"),
    ] = "off"  # of old manifests
    decode: Annotated[
        Decode,
        Field(
            title="Decoding",
            description="exact, or fast: without deblocking and film grain, up to a fifth of "
            "decoding is saved, and in the dark a tenth of the faces is not found.",
        ),
        By("default", "D"),
    ] = "exact"  # of old manifests
    decoder: Annotated[
        DecoderChoice,
        Field(
            title="Decoder",
            description="software; hardware, where it is found to give the same pictures (else "
            "software, with a warning); auto, which does not warn.",
        ),
        By("default", "D"),
    ] = "software"  # of old manifests
    reuse_still: Annotated[
        bool,
        Field(
            title="Reuse still frames",
            description="Take over the faces of the sample before where nothing has moved since.",
        ),
        By("default"),
    ] = False  # of old manifests
    people: Annotated[
        bool,
        Field(
            title="Group tracks into people",
            description="Find which tracks are one person's, by a few faces of each.",
        ),
        By("profile"),
    ] = False  # of old manifests
    video_stream: Annotated[
        VideoStreamChoice,
        Field(
            title="Video stream",
            description="Number of the video stream in the file, or auto: as players choose.",
        ),
        By("default", "N"),
    ] = "auto"  # of old manifests
    coreml_units: Annotated[
        CoreMLUnits,
        Field(
            title="CoreML's units",
            description="What CoreML may compute on; the Neural Engine takes the least power.",
        ),
        By("default", "U", topic="machine", environment_only=True),
    ] = "ALL"  # of old manifests
    save_crops: Annotated[
        bool,
        Field(title="Save crops", description="Write a picture of every tracked face."),
        By("default"),
    ]
    save_preview: Annotated[
        bool,
        Field(
            title="Save preview video",
            description="Write a video with boxes and track ids.",
        ),
        By("default"),
    ]
    allow_cpu_fallback: Annotated[
        bool,
        Field(
            title="Allow fallback to CPU",
            description="Run on the CPU, with a warning, where the accelerator is missing.",
        ),
        By("default"),
    ]


@dataclass(frozen=True)
class RunOption:
    """An option as those need it who ask for it: its field of `Options`, and what follows from it.

    Attributes:
        kind: bool, int, float or str.
        choices: words that it may be; beside them any number, where `kind` is one.
    """

    name: str
    field: FieldInfo
    by: By

    @property
    def asked(self) -> Any:
        return self.field.annotation if self.by.asked is None else self.by.asked

    @property
    def kind(self) -> type[Any]:
        parts = _parts(self.asked)
        return next((kind for kind in (bool, int, float) if kind in parts), str)

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(part for part in _parts(self.asked) if isinstance(part, str))

    @property
    def label(self) -> str:
        return self.field.title or self.name

    @property
    def help(self) -> str:
        return self.field.description or ""

    @property
    def variable(self) -> str:
        """In the environment."""
        return f"{ENV_PREFIX}{self.name.upper()}"


def _parts(annotation: Any) -> list[Any]:
    """Types and words of which a value may be one."""
    origin = get_origin(annotation)
    if origin is Literal:
        return list(get_args(annotation))
    if origin is Annotated:
        return _parts(get_args(annotation)[0])
    if origin is None:
        return [annotation]
    return [part for inner in get_args(annotation) for part in _parts(inner)]


RUN_OPTIONS: dict[str, RunOption] = {
    name: RunOption(name, field, by)
    for name, field in Options.model_fields.items()
    for by in field.metadata
    if isinstance(by, By)
}


def options_by(usual: Usual) -> list[RunOption]:
    """Those that this decides where no caller does."""
    return [option for option in RUN_OPTIONS.values() if option.by.usual == usual]


def model_of(options: list[RunOption], *, optional: bool) -> Any:
    """A base class with these options as its fields.

    Args:
        optional: each may be absent, which is None.
    """
    fields: dict[str, Any] = {}
    for option in options:
        kind: Any = option.asked if not optional else Union[option.asked, None]  # noqa: UP007
        bounds = option.field.metadata
        may_be_none = optional or type(None) in _parts(option.asked)
        usual: Any = None if may_be_none else ...
        info = Field(usual, title=option.label, description=option.help)
        fields[option.name] = (Annotated[kind, *bounds], info)
    config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    return create_model("_Made", __config__=config, __module__=__name__, **fields)


class EnvironmentRequest(model_of([*RUN_OPTIONS.values()], optional=True)):  # type: ignore[misc]
    """What the environment may say: a request's fields, and what is a machine's affair."""


_of_requests = [option for option in RUN_OPTIONS.values() if not option.by.environment_only]


class RunRequest(model_of(_of_requests, optional=True)):  # type: ignore[misc]
    """What a caller may ask of a run. An absent field is None: the profile decides."""

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        option = RUN_OPTIONS.get(info.field_name or "")
        if isinstance(value, bool) and (option is None or option.kind is not bool):
            raise PydanticCustomError("not_boolean", "Input should not be true or false")
        return value


def provider_rivals(options: Options) -> tuple[str, ...]:
    """Providers that the device's own must beat in a benchmark before it is taken."""
    if options.device != "cpu" and options.device_asked.lower() == "auto":
        return (PROVIDER_OF_DEVICE["cpu"],)
    return ()


def device_of(provider: str) -> Device:
    """The device that a provider runs."""
    return next(device for device, name in PROVIDER_OF_DEVICE.items() if name == provider)


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
        options, sources: what a resolution gave.
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
