"""Where models' weights lie on disk, found without loading InsightFace."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

from apps.common.config import DetectorConfig, model_registry
from apps.common.errors import ModelUnavailable
from apps.common.files import sha256_of

_HOME_VARIABLE, _DEFAULT_HOME = "INSIGHTFACE_HOME", "~/.insightface"


def insightface_root(pack: str) -> Path:
    """InsightFace's folder, where one of its packs is or may be put.

    Raises:
        ModelUnavailable: this user cannot look into it, or has no home where it could be.
    """
    root = _root()
    if root is None:
        reason = "this user has no home"
    else:
        try:
            os.scandir(root / "models" / pack).close()
        except FileNotFoundError:
            return root
        except OSError as error:
            reason = error.strerror or type(error).__name__
        else:
            return root
    shown = f"${_HOME_VARIABLE}" if os.environ.get(_HOME_VARIABLE) else _DEFAULT_HOME
    raise ModelUnavailable(
        f"InsightFace's folder {shown}/models/{pack} cannot be read: {reason}.",
        hint=f"Set {_HOME_VARIABLE} to a folder that this user may read, or do without the pack.",
    )


def insightface_detector(model: str) -> Path | None:
    """The detector's file of a pack, or the given `.onnx` file; None where it is not on disk.

    Packs hold several models; detectors are named `det_*.onnx` (buffalo) or `scrfd_*.onnx`
    (antelopev2).
    """
    return _in_pack(model, "det_*.onnx", "scrfd_*.onnx")


def insightface_recogniser(model: str) -> Path | None:
    """The recognition model's file of a pack, or the given `.onnx` file; None where there is none.

    Packs name them `w600k_*.onnx` (buffalo) or `glintr100.onnx` (antelopev2).
    """
    return _in_pack(model, "w600k_*.onnx", "glintr*.onnx")


def _in_pack(model: str, *patterns: str) -> Path | None:
    """What cannot be read is not there: a user may have no home, or one of somebody else."""
    if model.endswith(".onnx"):
        return readable_file(model)
    root = _root()
    if root is None:
        return None
    folder = root / "models" / model
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return None
    found = (path for pattern in patterns for path in entries if fnmatch(path.name, pattern))
    return next((path for path in found if os.access(path, os.R_OK)), None)


def _root() -> Path | None:
    """`INSIGHTFACE_HOME`, else InsightFace's own default; None where a home is missing."""
    return _expanded(os.environ.get(_HOME_VARIABLE) or _DEFAULT_HOME)


def _expanded(name: str) -> Path | None:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # there is no such user, or this one has no home
        return None


def packaged_file(package: str, file: str) -> Path:
    """A file inside an installed package, found without importing the package.

    Raises:
        ModelUnavailable: the package is not installed or carries no such file.
    """
    spec = importlib.util.find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    for folder in folders:
        path = Path(folder) / file
        if path.is_file():
            return path
    raise ModelUnavailable(
        f"The package {package!r} with {file} is not installed.",
        hint="Install the pinned requirements again (make setup).",
    )


def readable_file(name: str) -> Path | None:
    """A file that was named by hand, `~` included; None where it is missing or cannot be read."""
    path = _expanded(name)
    return path if path is not None and os.access(path, os.R_OK) and path.is_file() else None


def downloaded_weights(config: DetectorConfig, cache: Path) -> Path:
    """Where a detector's download is kept, whether it is there or not.

    Args:
        config: its entry in `config/models.toml`; it has a download.
        cache: folder of caches.
    """
    return cache / "weights" / f"{(config.sha256 or '')[:16]}-{config.file}"


@dataclass(frozen=True)
class GivenWeights:
    """Weights of detectors that were named by hand.

    Args:
        detector_model: an `.onnx` file; for `retinaface` also a pack's name.
        retinaface_model: the same, for `retinaface` alone, where it comes first.
    """

    detector_model: str | None = None
    retinaface_model: str | None = None

    def of(self, detector: str) -> str | None:
        """What was given for a detector of `config/models.toml`.

        Weights that are known to be another detector's are not for this one: so a service may be
        given those of one, and be asked for another.
        """
        if detector == "retinaface" and self.retinaface_model is not None:
            return self.retinaface_model
        return self.detector_model if self.owner in (None, detector) else None

    @property
    def owner(self) -> str | None:
        """The detector whose weights `detector_model` names; None where that is not known."""
        return None if self.detector_model is None else _owner(self.detector_model)


def _owner(model: str) -> str | None:
    """Whose weights these are, by their checksum; None where that is not known."""
    path = readable_file(model)
    if path is None:
        return None if model.endswith(".onnx") else "retinaface"  # a pack
    try:
        state = path.stat()
        return _owner_of_file(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=8)
def _owner_of_file(path: Path, size: int, changed_ns: int) -> str | None:  # noqa: ARG001
    """As long as a file is as it was, it is not read again: every request of the service asks."""
    sha256, registry = sha256_of(path), model_registry().detectors
    return next((name for name, config in registry.items() if config.sha256 == sha256), None)


def detectors_on_disk(given: GivenWeights, cache: Path) -> frozenset[str]:
    """Detectors that need no download.

    Args:
        given: weights that were named by hand.
        cache: folder of caches.
    """
    registry = model_registry().detectors
    single = {
        name
        for name, config in registry.items()
        if config.light is None and _is_on_disk(config, given.of(name), cache)
    }
    pairs = {n for n, config in registry.items() if {config.light, config.full} <= single}
    return frozenset(single | pairs)


def _is_on_disk(config: DetectorConfig, given: str | None, cache: Path) -> bool:
    if config.pack is not None:
        return insightface_detector(given or config.pack) is not None
    if given is not None:
        return readable_file(given) is not None
    return config.package is not None or downloaded_weights(config, cache).is_file()
