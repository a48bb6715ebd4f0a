"""Through how many containers an option passes between the request and the place where it acts.

`stride` stands for all: it acts in `apps.pipeline.run`, where frames are chosen by it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
import pkgutil
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import apps
from apps.common.schemas import DetectTrackRequest
from apps.common.settings import Settings
from apps.common.version import SourceWatch, source_fingerprint
from apps.jobs.store import JobRequest, QueueJob
from apps.pipeline.run import PipelineRun
from apps.runs.prepare import Host, prepare_run
from apps.runs.spec import RunSpec

STRIDE = 7
LOCAL = ["DetectTrackRequest", "Options", "Resolution", "RunSpec"]
QUEUED = [*LOCAL, "JobRequest", "QueueJob"]
# All other classes of the server side that hold it, and why none of them is one more on the way.
BESIDE = {
    "what else may be asked": [
        "BatchRequest", "ComparisonRequest", "EnvironmentRequest", "EpisodeRequest",
        "LegacyRequest", "PlanRequest", "RunRequest",
    ],
    "what was asked of a batch, to be asked again": ["Batch", "_Static"],
    "tables of usual values": ["Profile", "RunDefaults"],
    "answers of the service": [
        "JobStatus", "LegacyJobStatus", "ProfileOffer", "ResolvedPlan", "RunOptionsOffer", "Queue",
    ],
    "what a run has done": [
        "ExportedRun", "Outcome", "Part", "ResultEvent", "ReviewData", "RunDifferences",
        "RunManifest", "RunResult", "RunTotals", "_Outcome", "_Review", "_Run",
    ],
    "does the work with one of the way's own": [
        "DetectorLoader", "LiveFrames", "PartRun", "PipelineRun", "RunContext", "StoredFrames",
        "_Claim",
    ],
    "what a part of a run was made of": ["PartHead", "PartMaker"],
    "a part of RunSpec, which is handed on as it is": ["RunPlan"],
    "RunSpec with one field more": ["JoinSpec", "PartSpec"],
}  # fmt: skip
ELSEWHERE = ("apps.ui", "apps.stack", "apps.demo", "apps.worker.celery_app", "apps.worker.flower")


@pytest.mark.slow  # it imports every module, Matplotlib as well, which asks for fonts
def test_a_class_that_gains_the_stride_is_accounted_for() -> None:
    known = [*QUEUED, *(name for names in BESIDE.values() for name in names)]
    assert sorted(kind.__name__ for kind in holders()) == sorted(known)


def test_at_most_four_of_a_local_run(tmp_path: Path, test_data: Path) -> None:
    spec = prepared(tmp_path, test_data, "local")
    # A process reads it from its input, and the pipeline takes what was read.
    read = RunSpec.model_validate_json(spec.model_dump_json())
    wanted = typing.get_type_hints(PipelineRun)["plan"]
    assert isinstance(read, wanted)
    assert sorted({*passed(request("local")), *passed(read)}) == sorted(LOCAL)
    assert len(LOCAL) <= 4


def test_at_most_six_of_a_queued_run(tmp_path: Path, test_data: Path) -> None:
    spec = prepared(tmp_path, test_data, "redis")
    sent = JobRequest(job_id="job-1", spec=spec, timeout_s=60, submitted_at="now")
    record = {"static": sent.model_dump_json(), "state": "queued", "beat": "1.5", "attempts": "0"}
    job = QueueJob.model_validate({**record, "read_at": 4})
    assert job.request == sent
    assert job.silent_s == 2.5
    assert sorted({*passed(request("redis")), *passed(job)}) == sorted(QUEUED)
    assert len(QUEUED) <= 6


def request(mode: str) -> DetectTrackRequest:
    return DetectTrackRequest.model_validate(
        {"ep_id": "talk", "execution_mode": mode, "stride": STRIDE, "device": "cpu"}
    )


def prepared(folder: Path, test_data: Path, mode: typing.Literal["local", "redis"]) -> RunSpec:
    """What a request becomes before anything is started."""
    home = folder / "data" / "videos" / "talk"
    home.mkdir(parents=True)
    shutil.copy(test_data / "videos" / "carphone_pristine.mp4", home / "episode.mp4")
    settings = Settings(data_root=folder / "data")
    return asyncio.run(
        prepare_run(
            request(mode),
            mode,
            settings=settings,
            host=Host(settings),
            fingerprint=source_fingerprint(),
            source=SourceWatch(),
        )
    )


def passed(held: object) -> set[str]:
    """Names of the kinds of objects in it, itself included, that hold the stride."""
    names: set[str] = set()

    def look(thing: object) -> bool:
        inner = vars(thing) if type(thing) in kinds else {}
        below = [look(value) for value in inner.values()]
        holds = inner.get("stride") == STRIDE or any(below)
        if holds:
            names.add(type(thing).__name__)
        return holds

    kinds = holders()
    assert look(held)
    return names


def holders() -> set[type[Any]]:
    """Dataclasses and models with a field `stride`, or with a field of one of these."""
    fields = {kind: annotations(kind) for kind in records()}
    found = {kind for kind, types in fields.items() if "stride" in types}
    size = 0
    while len(found) > size:
        size = len(found)
        found |= {
            kind
            for kind, types in fields.items()
            if any(part in found for held in types.values() for part in parts(held))
        }
    return found


def records() -> Iterator[type[Any]]:
    for module in pkgutil.walk_packages(apps.__path__, "apps."):
        if module.name.startswith(ELSEWHERE) or module.name.endswith((".__main__", "api.main")):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            is_own = inspect.isclass(kind) and kind.__module__ == module.name
            if is_own and (dataclasses.is_dataclass(kind) or hasattr(kind, "model_fields")):
                yield kind


def annotations(kind: type[Any]) -> dict[str, Any]:
    if hasattr(kind, "model_fields"):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    try:
        return typing.get_type_hints(kind)
    except NameError:  # a name for type checkers only; none of them holds options
        return {field.name: field.type for field in dataclasses.fields(kind)}


def parts(annotation: Any) -> Iterator[type[Any]]:
    if inspect.isclass(annotation):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from parts(inner)
