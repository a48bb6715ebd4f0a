"""The file of a detector's weights: given by hand, in an installed package, or downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnxruntime as ort

from apps.common.config import DetectorConfig
from apps.common.errors import ModelUnavailable
from apps.common.files import sha256_of, storage_errors
from apps.common.model_files import downloaded_weights, packaged_file, readable_file
from apps.pipeline.inference.alone import alone
from apps.pipeline.inference.callbacks import LoadCallbacks

Shape = tuple[int | str | None, ...]
"""Sizes, or names of sizes that a picture decides."""


def weights_of(
    config: DetectorConfig, given: str | None, cache: Path, callbacks: LoadCallbacks
) -> Path:
    """A detector's file; downloads it where it is nowhere on disk.

    Args:
        config: the detector's entry in `config/models.toml`.
        given: the file that was named by hand, which comes before all others.
        cache: folder of caches, where downloads are kept.
        callbacks: receive how far a download is, and may stop it.

    Raises:
        ModelUnavailable: the file cannot be read, the package is not installed, or the download
            failed or is not what it should be.
        StorageFailed: the cache cannot be written.
    """
    if given is not None:
        return _given(given)
    if config.package is not None:
        return packaged_model(config)
    kept = downloaded_weights(config, cache)
    if not _is_right(kept, config):
        with storage_errors():
            kept.parent.mkdir(parents=True, exist_ok=True)
        with alone(kept, callbacks):
            if not _is_right(kept, config):  # another run may have got it meanwhile
                from apps.pipeline.detect.download import download  # httpx, needed once

                download(config, kept, callbacks)
    return kept


def _given(name: str) -> Path:
    path = readable_file(name)
    if path is None:
        raise ModelUnavailable(
            f"The model file {Path(name).name} does not exist or cannot be read.",
            hint="Correct --detector-model or SCREENALYTICS_DETECTOR_MODEL.",
        )
    return path


def packaged_model(config: DetectorConfig) -> Path:
    """The ONNX file inside the installed package, found without importing the package.

    Raises:
        ModelUnavailable: the package is not installed or carries no such file.
    """
    return packaged_file(config.package or "", config.file or "")


def check_network(path: Path, name: str, fits: Callable[[dict[str, Shape]], bool]) -> None:
    """Refuses weights of another network, which would find nonsense or nothing.

    Args:
        path: an `.onnx` file.
        name: of the network, as people know it.
        fits: whether outputs of these names and shapes are the network's.

    Raises:
        ModelUnavailable: they are not, or the file is no model.
    """
    try:
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # of ONNX Runtime; it has no base class of its own
        raise ModelUnavailable(
            f"{path.name} cannot be loaded.", hint="The file may be damaged, or be no model."
        ) from error
    if not fits({output.name: tuple(output.shape) for output in session.get_outputs()}):
        raise ModelUnavailable(
            f"{path.name} is no {name} network.",
            hint="Name the detector that it is for (--detector), or give its own file.",
        )


def _is_right(path: Path, config: DetectorConfig) -> bool:
    try:
        return sha256_of(path) == config.sha256
    except OSError:
        return False
