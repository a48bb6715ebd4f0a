"""From a request to the options of a run: a pure function, which keeps where each value came from.

Precedence: request > environment (`SCREENALYTICS_<FIELD>`) > profile > defaults; then the host's
limits cap. A run's report can so tell why it did what it did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from apps.common.config import RunDefaults, model_registry, run_defaults
from apps.common.cpu_limits import host_thread_limit
from apps.common.errors import AcceleratorMissing, InvalidInput
from apps.common.model_files import GivenWeights, detectors_on_disk
from apps.common.options import (
    PROVIDER_OF_DEVICE,
    RUN_OPTIONS,
    Device,
    EnvironmentRequest,
    Options,
    RunRequest,
    Usual,
    options_by,
)

# OpenVINO runs on the CPU as well; where `auto` leads to it, it must be the faster of the two.
AUTO_DEVICE_ORDER: tuple[Device, ...] = ("coreml", "cuda", "openvino", "cpu")
_EIGHT_BIT_DEVICES: tuple[Device, ...] = ("openvino", "cpu")
T = TypeVar("T")


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
        given_detector: the detector whose weights were named by hand, where that is known.
    """

    providers: tuple[str, ...]
    detectors_on_disk: frozenset[str]
    thread_limit: int
    thread_limit_source: str = "limit:cores"
    given_detector: str | None = None

    @classmethod
    def here(cls, providers: tuple[str, ...], given: GivenWeights, cache: Path) -> HostFacts:
        """Of the host that this program runs on.

        Args:
            providers: what ONNX Runtime offers, which takes long to ask.
            given: weights that were named by hand.
            cache: folder of caches.
        """
        on_disk = detectors_on_disk(given, cache)
        return cls(providers, on_disk, *host_thread_limit(), given.owner)


def resolve(
    request: RunRequest,
    environ: Mapping[str, str],
    host: HostFacts,
    defaults: RunDefaults | None = None,
) -> Resolution:
    """Turns a request into options. Pure: the same arguments give the same result.

    Args:
        request: what the caller asks for; fields that are no options are not looked at.
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
    source = layers.sources["detector"]
    detector = _resolve_detector(wanted, source, host.detectors_on_disk, host.given_detector)
    values = {
        "allow_cpu_fallback": allow_fallback,
        "device": device,
        "device_asked": asked,
        "profile": name,
        "detector": detector,
        "detector_asked": wanted,
    }
    det_size = tables.det_size.coreml if device == "coreml" else tables.det_size.default
    det_thresh = model_registry().detectors[detector].det_thresh
    usual: dict[Usual, tuple[Mapping[str, Any], str]] = {
        "device": ({"det_size": det_size}, f"device:{device}"),
        "profile": (profile.model_dump(), f"profile:{name}"),
        "detector": ({"det_thresh": det_thresh}, f"detector:{detector}"),
        "default": (tables.defaults.model_dump(), "default"),
    }
    for option in RUN_OPTIONS.values():
        if option.name not in values:
            table, source = usual[option.by.usual]
            values[option.name] = layers.pick(option.name, table[option.name], source)
    if values["precision"] == "int8" and device not in _EIGHT_BIT_DEVICES:
        raise InvalidInput(
            f"Precision 'int8' is not for device {device!r}.",
            hint="Use device 'cpu' or 'openvino', or precision 'float32'.",
            field="precision",
        )
    if model_registry().detectors[detector].light is not None and values["small_faces"] != "off":
        warnings.append(
            f"Small faces are not looked at again: detector {detector!r} looks at what is in doubt "
            "enlarged anyway."
        )
    found = Resolution(
        options=Options.model_validate(values), sources=layers.sources, warnings=tuple(warnings)
    )
    return cap_threads(found, host.thread_limit, host.thread_limit_source)


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


def with_detectors(
    resolution: Resolution, on_disk: frozenset[str], given: str | None = None
) -> Resolution:
    """The same resolution on a host with other weights: what `auto` means is decided again.

    Args:
        on_disk: detectors that need no download there.
        given: the detector whose weights were named by hand there.
    """
    options, sources = resolution.options, resolution.sources
    asked = options.detector_asked or options.detector
    detector = _resolve_detector(asked, sources.get("detector", ""), on_disk, given)
    if detector == options.detector:
        return resolution
    changes: dict[str, Any] = {"detector": detector}
    if sources.get("det_thresh") == f"detector:{options.detector}":
        changes["det_thresh"] = model_registry().detectors[detector].det_thresh
        sources = {**sources, "det_thresh": f"detector:{detector}"}
    return resolution.model_copy(
        update={"options": options.model_copy(update=changes), "sources": sources}
    )


def switches(environ: Mapping[str, str]) -> dict[str, bool]:
    """What a request can switch on or off, as it is where the request does not.

    Args:
        environ: environment variables, as of `resolve`; wrong ones count as absent.
    """
    try:
        environment = _request_from_environ(environ)
    except InvalidInput:  # whoever asks for a run is told
        environment = EnvironmentRequest()
    layers, defaults = _Layers(RunRequest(), environment), run_defaults().defaults
    return {
        option.name: layers.pick(option.name, getattr(defaults, option.name))
        for option in options_by("default")
        if option.kind is bool
    }


def with_warning(resolution: Resolution, warning: str) -> Resolution:
    """The same resolution, with one more thing that the caller must be told."""
    return resolution.model_copy(update={"warnings": (*resolution.warnings, warning)})


class _Layers:
    """The visible precedence: request, environment, fallback; remembers who answered."""

    def __init__(self, request: RunRequest, environment: EnvironmentRequest) -> None:
        self._request = request
        self._environment = environment
        self.sources: dict[str, str] = {}

    def pick(self, field: str, fallback: Any, fallback_source: str = "default") -> Any:
        candidates = (
            (getattr(self._request, field, None), "request"),
            (getattr(self._environment, field), f"env:{RUN_OPTIONS[field].variable}"),
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
        name: text
        for name, option in RUN_OPTIONS.items()
        if (text := environ.get(option.variable, "").strip()) != ""
    }
    try:
        return EnvironmentRequest(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0])
        raise InvalidInput(
            f"{RUN_OPTIONS[field].variable}={values[field]!r}: {first['msg']}.",
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
            f"{asked} was asked for but {provider} is missing (there: {there}): the CPU is used.",
        )
    raise AcceleratorMissing(
        f"Device {asked!r} needs {provider}; this machine offers {there}.",
        hint="Install the ONNX Runtime build for it and the accelerator's driver, use device 'cpu' "
        "or 'auto', or set allow_cpu_fallback to run on the CPU.",
        providers=list(host.providers),
    )


def _resolve_detector(asked: str, source: str, on_disk: frozenset[str], given: str | None) -> str:
    allowed = {"auto": "auto", **{name: name for name in model_registry().detectors}}
    name = _lookup("detector", asked.lower(), allowed, source)
    if name == "auto":
        return given or ("retinaface" if "retinaface" in on_disk else "centerface")
    return name
