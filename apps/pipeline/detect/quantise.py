"""Eight-bit models: made once from the float one, and used only where they find the same faces.

Static quantisation in QDQ form, weights by channel, after the channels in front of depthwise
convolutions were given equal ranges. The first layers and the heads stay in float: it is there that
rounding loses faces. Activations are asymmetric on x86 (ONNX Runtime's kernels for symmetric ones
gain nothing there) and symmetric on ARM.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import onnxruntime as ort
from pydantic import BaseModel, ConfigDict, ValidationError

from apps.common.contracts.manifest import Agreement, QuantisedFacts
from apps.common.errors import ModelUnavailable, ScreenalyticsError
from apps.common.files import read_json, sha256_of, storage_errors, write_atomic, write_json
from apps.common.options import FloatType
from apps.pipeline.arrays import ByteArray
from apps.pipeline.detect.agreement import (
    MIN_MEAN_IOU,
    MIN_RECALL,
    compare,
    is_enough,
    sentence,
)
from apps.pipeline.detect.base import (
    Network,
)
from apps.pipeline.detect.pictures import check_pictures
from apps.pipeline.inference.alone import alone
from apps.pipeline.inference.callbacks import LoadCallbacks
from apps.pipeline.inference.cpu_kind import CpuKind, cpu_kind
from apps.pipeline.inference.session import CPU, SessionPlan, float_type, make_session

_RECIPE = 2  # raise when what is made or how it is checked changes
_HINT = "Use precision 'float32'."


@dataclass(frozen=True)
class Recipe:
    """How a model is made eight-bit.

    Args:
        activations: type of what flows between layers.
        weight_bits: 7 where products of 8 bits overflow the CPU's 16-bit sums.
    """

    activations: Literal["uint8", "int8"]
    weight_bits: Literal[7, 8]

    @property
    def name(self) -> str:
        return f"v{_RECIPE}-{self.activations}-w{self.weight_bits}"


def recipe_for(kind: CpuKind) -> Recipe:
    """What ONNX Runtime runs fast and exactly on such a CPU. Pure."""
    if kind.machine.lower() in ("arm64", "aarch64"):
        return Recipe("int8", 8)
    exact = {"avx512_vnni", "avx_vnni"} & kind.flags
    return Recipe("uint8", 8 if exact else 7)


@dataclass(frozen=True)
class Quantised:
    """An eight-bit model that was found good on this host."""

    path: Path
    facts: QuantisedFacts


class _Record(BaseModel):
    """What is kept beside a model: its checksum, and what the check found by provider and CPU."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sha256: str
    agreements: dict[str, Agreement] = {}


@dataclass(frozen=True)
class Quantiser:
    """Makes, keeps and checks the eight-bit form of one model.

    Args:
        source: the float model.
        sha256: checksum of its file, hexadecimal.
        network: how it is used.
        threads: for making it, >= 1.
        cache: folder of caches.
        callbacks: receive progress messages, and may stop the work.
    """

    source: Path
    sha256: str
    network: Network
    threads: int
    cache: Path
    callbacks: LoadCallbacks

    def model(self) -> Quantised:
        """The model, unchecked as yet: made now where it is not there.

        Raises:
            ModelUnavailable: it cannot be made.
            StorageFailed: the cache cannot be written.
            RunCancelled: by the callbacks.
        """
        with storage_errors():
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with alone(self._path, self.callbacks):
            if self._record() is None:
                self._make()
        return self._quantised()

    def checked(self, provider: str) -> Quantised:
        """The model, found good with this provider on this kind of CPU.

        Raises:
            ModelUnavailable: it does not find the same faces, or is damaged.
        """
        floats = float_type(provider, "int8", cpu_kind())
        where = f"{provider}, {floats}, {cpu_kind().digest}"
        with alone(self._path, self.callbacks):
            record = self._record()
            if record is None:
                raise ModelUnavailable("The eight-bit model is damaged.", hint="Run again.")
            agreement = record.agreements.get(where)
            if agreement is None:
                agreement = self._compare(provider)
                kept = {**record.agreements, where: agreement}
                body = record.model_copy(update={"agreements": kept}).model_dump()
                with storage_errors():
                    write_json(self._notes, body)
        if not is_enough(agreement):
            raise ModelUnavailable(
                f"Precision 'int8' does not find the same faces as 'float32' with "
                f"{self.source.name} on this machine: {sentence(agreement)}; needed are "
                f"{MIN_RECALL:.0%} and {MIN_MEAN_IOU:g}.",
                hint=_HINT,
            )
        return self._quantised(agreement, floats)

    @property
    def _path(self) -> Path:
        stem = f"{self.source.stem[:40]}-{self.sha256[:16]}"
        return self.cache / "quantised" / f"{stem}-{self._recipe.name}-ort{ort.__version__}.onnx"

    @property
    def _notes(self) -> Path:
        return self._path.with_suffix(".json")

    @property
    def _recipe(self) -> Recipe:
        return recipe_for(cpu_kind())

    def _record(self) -> _Record | None:
        """None where the model is missing or is not the one that was written."""
        try:
            record = _Record.model_validate(read_json(self._notes))
            whole = sha256_of(self._path) == record.sha256
        except (ValidationError, OSError):
            return None
        return record if whole else None

    def _quantised(
        self, agreement: Agreement | None = None, floats: FloatType = "float32"
    ) -> Quantised:
        record = self._record()
        if record is None:
            raise ModelUnavailable("The eight-bit model is damaged.", hint="Run again.")
        facts = QuantisedFacts(
            sha256=record.sha256,
            recipe=self._recipe.name,
            onnxruntime=ort.__version__,
            agreement=agreement,
            float_layers=floats,
        )
        return Quantised(self._path, facts)

    def _make(self) -> None:
        self.callbacks.say(f"Making the eight-bit form of {self.source.name}, once for this host")
        try:
            from apps.pipeline.detect.quantise_graph import quantised_graph

            model = quantised_graph(
                self.source,
                self.network,
                activations=self._recipe.activations,
                weight_bits=self._recipe.weight_bits,
                threads=self.threads,
                check=self.callbacks.check,
            )
        except ScreenalyticsError:
            raise
        except Exception as error:  # of the quantiser: whatever a graph that it cannot do raises
            raise ModelUnavailable(
                f"Precision 'int8' cannot be had for {self.source.name}.", hint=_HINT
            ) from error
        with storage_errors():
            write_atomic(self._path, model)
            record = _Record(sha256=hashlib.sha256(model).hexdigest())
            write_json(self._notes, record.model_dump())

    def _compare(self, provider: str) -> Agreement:
        width, height = self.network.canvas
        plan = SessionPlan(
            self.source, self.sha256, self.network.dimensions(width, height), self.threads, CPU
        )
        exact = make_session(plan)
        eight = make_session(
            replace(plan, model=self._path, sha256="", provider=provider, precision="int8")
        )

        def pictures() -> Iterator[ByteArray]:
            for picture in check_pictures(width, height):
                self.callbacks.check()
                yield picture

        agreement = compare(self.network.finder(exact), self.network.finder(eight), pictures())
        self.callbacks.say(f"int8 against float32 with {provider}: {sentence(agreement)}")
        return agreement
