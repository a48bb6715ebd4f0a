"""Starts the process of a run, or of what is made beside runs. API and workers use it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from apps.common.contracts.events import ClipEvent, Event, PartEvent, PlayableEvent, PreviewEvent
from apps.common.errors import RunFailed, ScreenalyticsError
from apps.common.layout import Layout, draft_of
from apps.common.open_result import result_tail
from apps.runs.child import Child, event_of, how_it_ended
from apps.runs.playable import clear_unfinished
from apps.runs.record import status_of
from apps.runs.spec import ClipSpec, PartSpec, PlayableSpec, PreviewSpec, RunSpec
from apps.runs.staging import remove_staging
from apps.runs.store import close_unfinished
from apps.runs.supervise import SupervisedProcess

RUN_MODULE = "apps.cli.episode_run"
PART_MODULE = "apps.cli.make_part"
_PREVIEW_MODULE = "apps.cli.make_preview"
_PLAYABLE_MODULE = "apps.cli.make_playable"
_CLIP_MODULE = "apps.cli.make_clip"
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_PART_EVENT: TypeAdapter[PartEvent] = TypeAdapter(PartEvent)
_PREVIEW_EVENT: TypeAdapter[PreviewEvent] = TypeAdapter(PreviewEvent)
_PLAYABLE_EVENT: TypeAdapter[PlayableEvent] = TypeAdapter(PlayableEvent)
_CLIP_EVENT: TypeAdapter[ClipEvent] = TypeAdapter(ClipEvent)


async def start_run(spec: RunSpec, timeout_s: float | None = None) -> SupervisedProcess[Event]:
    """Starts a run, or the joining of its parts. However it ends, its manifest says how.

    Args:
        spec: which run, with which options; the process reads it from its standard input.
        timeout_s: longest run, seconds.
    """
    arguments = ["--spec", "-", "--events", "ndjson"]
    child = await Child.start(RUN_MODULE, arguments, spec.model_dump_json())
    return SupervisedProcess(child, _RunWork(spec), timeout_s)


async def start_part(spec: PartSpec, timeout_s: float) -> SupervisedProcess[PartEvent]:
    """Starts the making of one part of a run. It leaves its file or nothing."""
    child = await Child.start(PART_MODULE, [], spec.model_dump_json())
    return SupervisedProcess(child, _PartWork(spec), timeout_s)


async def start_preview(spec: PreviewSpec, timeout_s: float) -> SupervisedProcess[PreviewEvent]:
    """Starts the making of a preview. Its run has completed, so no manifest says how this ends."""
    child = await Child.start(_PREVIEW_MODULE, [], spec.model_dump_json())
    return SupervisedProcess(child, _PreviewWork(spec), timeout_s)


async def start_playable(spec: PlayableSpec, timeout_s: float) -> SupervisedProcess[PlayableEvent]:
    """Starts the making of a file that browsers play."""
    child = await Child.start(_PLAYABLE_MODULE, [], spec.model_dump_json())
    return SupervisedProcess(child, _PlayableWork(spec), timeout_s)


async def start_clip(spec: ClipSpec, timeout_s: float) -> SupervisedProcess[ClipEvent]:
    """Starts the making of a clip."""
    child = await Child.start(_CLIP_MODULE, [], spec.model_dump_json())
    return SupervisedProcess(child, _ClipWork(spec), timeout_s)


class _RunWork:
    what = "run"
    interrupted = "The server was stopped while the run was on; it was cancelled."

    def __init__(self, spec: RunSpec) -> None:
        self._layout = Layout(Path(spec.data_root))
        self._run = (spec.ep_id, spec.run_id)

    def read(self, line: bytes) -> Event | None:
        return event_of(_EVENT, line)

    def died(self, code: int, stderr: Sequence[str]) -> RunFailed:
        return RunFailed(
            f"The run's process {how_it_ended(code)} before it finished.",
            hint="Look at the log lines; if the system killed it, it may lack memory.",
            run_exit_code=code,
            logs=[*result_tail(self._layout, self._layout.run(*self._run).log), *stderr][-20:],
        )

    def tidy(self, ending: ScreenalyticsError, pid: int) -> None:
        """What it staged first, since a full disk has space then."""
        remove_staging(self._layout, *self._run)
        close_unfinished(self._layout, *self._run, status_of(ending), ending.detail, pid=pid)


class _MakingWork:
    """Of what is made beside runs."""

    what: str

    def __init__(self) -> None:
        self.interrupted = f"The server was stopped while the {self.what} was on; it was cancelled."

    def died(self, code: int, stderr: Sequence[str]) -> RunFailed:  # noqa: ARG002
        return RunFailed(
            f"The {self.what}'s process {how_it_ended(code)} before it finished.",
            hint="Try again; if the system killed it, it may lack memory.",
            run_exit_code=code,
        )


class _PartWork(_MakingWork):
    what = "part of the run"

    def __init__(self, spec: PartSpec) -> None:
        super().__init__()
        self._path = Path(spec.order.path)

    def read(self, line: bytes) -> PartEvent | None:
        return event_of(_PART_EVENT, line)

    def tidy(self, ending: ScreenalyticsError, pid: int) -> None:  # noqa: ARG002
        draft_of(self._path, pid).unlink(missing_ok=True)


class _PlayableWork(_MakingWork):
    what = "making of the file to play"

    def __init__(self, spec: PlayableSpec) -> None:
        super().__init__()
        self._spec = spec

    def read(self, line: bytes) -> PlayableEvent | None:
        return event_of(_PLAYABLE_EVENT, line)

    def tidy(self, ending: ScreenalyticsError, pid: int) -> None:  # noqa: ARG002
        clear_unfinished(Layout(Path(self._spec.data_root)), self._spec.ep_id)


class _ClipWork(_MakingWork):
    what = "making of the clip"

    def __init__(self, spec: ClipSpec) -> None:
        super().__init__()
        self._spec = spec

    def read(self, line: bytes) -> ClipEvent | None:
        return event_of(_CLIP_EVENT, line)

    def tidy(self, ending: ScreenalyticsError, pid: int) -> None:  # noqa: ARG002
        clear_unfinished(Layout(Path(self._spec.data_root)), self._spec.ep_id)


class _PreviewWork(_MakingWork):
    what = "preview"

    def __init__(self, spec: PreviewSpec) -> None:
        super().__init__()
        self._spec = spec

    def read(self, line: bytes) -> PreviewEvent | None:
        return event_of(_PREVIEW_EVENT, line)

    def tidy(self, ending: ScreenalyticsError, pid: int) -> None:  # noqa: ARG002
        layout = Layout(Path(self._spec.data_root))
        remove_staging(layout, self._spec.ep_id, self._spec.run_id)
