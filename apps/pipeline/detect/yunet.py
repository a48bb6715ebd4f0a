"""YuNet, a light detector: a quarter of CenterFace's cost.

Source: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence
Research 2023; weights and pre- and postprocessing of ShiqiYu/libfacedetection.train.
The network gives, for every cell of 8, 16 and 32 pixels: whether it is a face (`cls`) and how well
its box fits (`obj`), both 0..1; the box's centre inside the cell and the logarithm of its size
(`bbox`), and five landmarks (`kps`), all in cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime as ort

from apps.common.config import DetectorConfig
from apps.pipeline.arrays import ByteArray, FloatArray
from apps.pipeline.detect.base import DetectorRequest, Finder
from apps.pipeline.detect.loading import NetworkDetector, Weights, checked_source
from apps.pipeline.detect.planes import Planes
from apps.pipeline.detect.suppress import suppress
from apps.pipeline.detect.weights import Shape
from apps.pipeline.geometry import fit
from apps.pipeline.inference.callbacks import NO_CALLBACKS, LoadCallbacks
from apps.pipeline.types import Faces

CELLS = (8, 16, 32)  # pixels of the picture for one cell of an output
_KINDS = ("cls", "obj", "bbox", "kps")
OUTPUTS = tuple(f"{kind}_{cell}" for kind in _KINDS for cell in CELLS)


@dataclass(frozen=True)
class YuNetNetwork:
    """A `Network`.

    Args:
        threshold: least confidence.
        nms_iou: boxes that overlap more are one face.
    """

    threshold: float
    nms_iou: float
    canvas: tuple[int, int] = (640, 448)

    def dimensions(self, width: int, height: int) -> dict[str, int]:
        return {"batch": 1, "height": height, "width": width}

    def blob(self, image: ByteArray) -> FloatArray:
        return Planes((1, 3, *image.shape[:2]), rgb=False).of(image)

    def finder(self, session: ort.InferenceSession) -> Finder:
        given = session.get_inputs()[0]
        planes = Planes(tuple(given.shape), rgb=False)

        def find(image: ByteArray) -> Faces:
            values = session.run(OUTPUTS, {given.name: planes.of(image)})
            maps = {name: value[0] for name, value in zip(OUTPUTS, values, strict=True)}
            faces = decode_cells(maps, (image.shape[1], image.shape[0]), self.threshold)
            return suppress(faces, self.threshold, self.nms_iou)

        return find


class YuNet(NetworkDetector):
    """YuNet as a `Detector`."""

    def __init__(
        self,
        request: DetectorRequest,
        config: DetectorConfig,
        weights: Path,
        cache: Path,
        callbacks: LoadCallbacks = NO_CALLBACKS,
    ) -> None:
        """Loads the network for pictures of this size.

        Args:
            request: picture, threshold, provider, threads, precision.
            config: its entry in `config/models.toml`.
            weights: its file.
            cache: folder of caches.
            callbacks: receive progress messages, and may stop the work.

        Raises:
            ModelUnavailable: the file is broken, or of another network.
        """
        usual = YuNetNetwork(config.det_thresh, config.nms_iou)
        super().__init__(
            checked_source(weights.stem, weights, config, "YuNet", _is_yunet),
            Weights(weights, usual),
            replace(usual, threshold=request.det_thresh),
            request,
            fit(request.width, request.height, request.det_size),
            cache,
            callbacks,
        )


def _is_yunet(outputs: dict[str, Shape]) -> bool:
    return set(OUTPUTS) <= outputs.keys()


def decode_cells(maps: Mapping[str, FloatArray], size: tuple[int, int], threshold: float) -> Faces:
    """Output maps to boxes in pixels of the picture, overlapping ones included.

    Args:
        maps: of `OUTPUTS`, each with a row for a cell, row by row of the picture; of one column
            (`cls`, `obj`), four (`bbox`: x and y of the centre, logarithms of width and height)
            or ten (`kps`: x and y of five points).
        size: width and height of the picture, multiples of 32.
        threshold: least confidence, the geometric mean of `cls` and `obj`.
    """
    found = [_of_scale(maps, cell, size[0] // cell, threshold) for cell in CELLS]
    boxes, points, conf = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Faces(np.clip(boxes, 0, np.array([*size, *size], np.float32)), points, conf)


def _of_scale(
    maps: Mapping[str, FloatArray], cell: int, columns: int, threshold: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    product = np.clip(maps[f"cls_{cell}"][:, 0], 0, 1) * np.clip(maps[f"obj_{cell}"][:, 0], 0, 1)
    at = np.flatnonzero(product > threshold**2)
    corner = np.stack([at % columns, at // columns], axis=1).astype(np.float32)
    bbox = maps[f"bbox_{cell}"][at]
    centre, half = (corner + bbox[:, :2]) * cell, np.exp(bbox[:, 2:]) * (cell / 2)
    points = (maps[f"kps_{cell}"][at].reshape(-1, 5, 2) + corner[:, None]) * cell
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return (
        boxes.astype(np.float32),
        points.astype(np.float32),
        np.sqrt(product[at]).astype(np.float32),
    )
