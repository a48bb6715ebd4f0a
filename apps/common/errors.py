"""One error tree for the whole product.

    ScreenalyticsError
    ├── InvalidInput          exit 2    422   bad arguments, unknown names, values out of range
    ├── EpisodeNotFound       exit 3    404   no such episode, no video in it
    ├── RunNotFound           exit 3    404
    ├── JobNotFound           exit 3    404
    ├── UploadNotFound        exit 3    404   ended by its client, or expired
    ├── TrashNotFound         exit 3    404   it was restored, or removed for good
    ├── VideoUnreadable       exit 3    422   not a video, no frames, a playlist, a URL
    ├── AcceleratorMissing    exit 4    422   CoreML or CUDA asked for and not there
    ├── ModelUnavailable      exit 5    500   model missing, broken or not downloadable
    ├── PackageMissing        exit 1    501   a format that needs a package that is not installed
    ├── EpisodeBusy           exit 6    409   another run holds the episode
    ├── RunElsewhere          exit 6    409   a run that this server cannot end
    ├── ComparisonBusy        exit 6    409   one comparison at a time in a server
    ├── PreviewBusy           exit 6    409   the run's preview is being made already
    ├── PlayableBusy          exit 6    409   a file to play is being made already
    ├── VideoReplaced         exit 3    409   the episode's video is not the one that was run
    ├── RunExists             exit 2    409   the run id has results already
    ├── EpisodeExists         exit 2    409   an upload for an episode that has a video
    ├── UploadConflict        exit 2    409   another offset is due; another upload has the name
    ├── UploadBusy            exit 6    423   another request sends bytes of the same upload
    ├── PeopleChanged         exit 2    409   somebody else has corrected the people meanwhile
    ├── CorrectionsUnreadable exit 1    409   the log of corrections is a later version's
    ├── NotAuthorised         exit 2    401
    ├── ForeignOrigin         exit 2    403   a page of another site asks for a change
    ├── UnknownHost           exit 2    421   the server is asked by a name that is not its own
    ├── BodyTooLarge          exit 2    413
    ├── HeadersTooLarge       exit 2    431
    ├── UploadTooLarge        exit 2    413
    ├── StorageFailed         exit 1    507   disk full, data root not writable
    ├── QueueUnavailable      exit 1    503   broker or workers away
    ├── TooManyListeners      exit 1    503   no room for another client of GET /events
    ├── BatchNotFound         exit 3    404
    ├── IdempotencyKeyReused  exit 2    422   for another request
    ├── StillAnswering        exit 6    409   the first request of an Idempotency-Key
    ├── JobUnreadable         exit 1    500   what Redis has of a job is none
    ├── PartDamaged           exit 1    500   a part of a divided run is cut off or not its own
    ├── PartRefused           exit 1    409   this host would compute a part differently
    ├── RunTimedOut           exit 1    504
    ├── RunCancelled          exit 143  500   stopped from outside: signal, client gone, parent gone
    ├── ServiceStopping       exit 143  503   the server was told to stop while the run was on
    └── RunFailed             exit 1    500   anything else, with exit code and last log lines

An error says what is wrong in `detail` and what to do in `hint`. It becomes an HTTP answer in
`apps.api.problems` only and an exit code in `tools/episode_run.py` only, and crosses the process
boundary between them as the dict of `to_dict()`.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ScreenalyticsError(Exception):
    """Base of every expected failure.

    Args:
        detail: one sentence on what is wrong, without paths of the host or secrets.
        hint: one sentence on what to do about it.
        extra: further facts for machines (allowed values, holder of a lock, exit code).
    """

    slug: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str, *, hint: str | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.extra = extra

    @property
    def message(self) -> str:
        """What is wrong and what to do about it, on one line."""
        return self.detail if self.hint is None else f"{self.detail} {self.hint}"

    def to_dict(self) -> dict[str, Any]:
        """RFC 9457 members plus `hint`, `exit_code` and the extra facts."""
        body: dict[str, Any] = {
            "type": f"urn:screenalytics:problem:{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.hint is not None:
            body["hint"] = self.hint
        return {**self.extra, **body, "exit_code": self.exit_code}


class InvalidInput(ScreenalyticsError):
    slug, title, status, exit_code = "invalid-input", "Invalid input", 422, 2


class EpisodeNotFound(ScreenalyticsError):
    slug, title, status, exit_code = "episode-not-found", "No such episode", 404, 3


class RunNotFound(ScreenalyticsError):
    slug, title, status, exit_code = "run-not-found", "No such run", 404, 3


class JobNotFound(ScreenalyticsError):
    slug, title, status, exit_code = "job-not-found", "No such job", 404, 3


class TrashNotFound(ScreenalyticsError):
    slug, title, status, exit_code = "trash-not-found", "Not in the trash", 404, 3


class VideoUnreadable(ScreenalyticsError):
    slug, title, status, exit_code = "video-unreadable", "Video cannot be read", 422, 3

    @classmethod
    def missing(cls) -> VideoUnreadable:
        """Where it was found a moment ago."""
        return cls("The video is missing or cannot be read.", hint="Look at its name and folder.")


class AcceleratorMissing(ScreenalyticsError):
    slug, title, status, exit_code = "accelerator-missing", "Accelerator missing", 422, 4


class ModelUnavailable(ScreenalyticsError):
    slug, title, status, exit_code = "model-unavailable", "Model missing or broken", 500, 5


class PackageMissing(ScreenalyticsError):
    slug, title, status, exit_code = "package-missing", "Package is not installed", 501, 1


class EpisodeBusy(ScreenalyticsError):
    slug, title, status, exit_code = "episode-busy", "Episode is running already", 409, 6


class RunElsewhere(ScreenalyticsError):
    slug, title, status, exit_code = "run-elsewhere", "Run was started elsewhere", 409, 6


class ComparisonBusy(ScreenalyticsError):
    slug, title, status, exit_code = "comparison-busy", "A comparison is running", 409, 6


class PreviewBusy(ScreenalyticsError):
    slug, title, status, exit_code = "preview-busy", "Preview is being made", 409, 6


class PlayableBusy(ScreenalyticsError):
    slug, title, status, exit_code = "playable-busy", "File to play is being made", 409, 6


class VideoReplaced(ScreenalyticsError):
    slug, title, status, exit_code = "video-replaced", "Video was replaced", 409, 3


class RunExists(ScreenalyticsError):
    slug, title, status, exit_code = "run-exists", "Run id is taken", 409, 2


class EpisodeExists(ScreenalyticsError):
    slug, title, status, exit_code = "episode-exists", "Episode has a video already", 409, 2


class UploadNotFound(ScreenalyticsError):
    slug, title, status, exit_code = "upload-not-found", "No such upload", 404, 3


class UploadConflict(ScreenalyticsError):
    slug, title, status, exit_code = "upload-conflict", "Upload does not fit", 409, 2


class UploadBusy(ScreenalyticsError):
    slug, title, status, exit_code = "upload-busy", "Upload is being sent already", 423, 6


class PeopleChanged(ScreenalyticsError):
    slug, title, status, exit_code = "people-changed", "People were corrected meanwhile", 409, 2


class CorrectionsUnreadable(ScreenalyticsError):
    slug, title, status, exit_code = "corrections-unreadable", "Corrections cannot be read", 409, 1


class NotAuthorised(ScreenalyticsError):
    slug, title, status, exit_code = "not-authorised", "Not authorised", 401, 2


class ForeignOrigin(ScreenalyticsError):
    slug, title, status, exit_code = "foreign-origin", "Request of another site", 403, 2


class UnknownHost(ScreenalyticsError):
    slug, title, status, exit_code = "unknown-host", "Unknown host", 421, 2


class BodyTooLarge(ScreenalyticsError):
    slug, title, status, exit_code = "body-too-large", "Body too large", 413, 2


class HeadersTooLarge(ScreenalyticsError):
    slug, title, status, exit_code = "headers-too-large", "Too many headers", 431, 2


class UploadTooLarge(ScreenalyticsError):
    slug, title, status, exit_code = "upload-too-large", "Upload too large", 413, 2


class StorageFailed(ScreenalyticsError):
    slug, title, status, exit_code = "storage-failed", "Results cannot be stored", 507, 1


class QueueUnavailable(ScreenalyticsError):
    slug, title, status, exit_code = "queue-unavailable", "Queue is not available", 503, 1


class TooManyListeners(ScreenalyticsError):
    slug, title, status, exit_code = "too-many-listeners", "Too many clients listen", 503, 1


class BatchNotFound(ScreenalyticsError):
    slug, title, status, exit_code = "batch-not-found", "Batch not found", 404, 3


class IdempotencyKeyReused(ScreenalyticsError):
    slug, title, status, exit_code = (
        "idempotency-key-reused", "Idempotency-Key was used for another request", 422, 2,
    )  # fmt: skip


class StillAnswering(ScreenalyticsError):
    slug, title, status, exit_code = (
        "still-answering", "The first request of this Idempotency-Key is not answered yet", 409, 6,
    )  # fmt: skip


class JobUnreadable(ScreenalyticsError):
    slug, title, status, exit_code = "job-unreadable", "Job cannot be read", 500, 1


class RunTimedOut(ScreenalyticsError):
    slug, title, status, exit_code = "run-timed-out", "Run took too long", 504, 1


class RunCancelled(ScreenalyticsError):
    slug, title, status, exit_code = "run-cancelled", "Run was cancelled", 500, 143


class ServiceStopping(ScreenalyticsError):
    slug, title, status, exit_code = "service-stopping", "The service is stopping", 503, 143


class PartDamaged(ScreenalyticsError):
    slug, title, status, exit_code = "part-damaged", "Part of a run is damaged", 500, 1


class PartRefused(ScreenalyticsError):
    slug, title, status, exit_code = "part-refused", "Part of a run is refused", 409, 1


class RunFailed(ScreenalyticsError):
    slug, title, status, exit_code = "run-failed", "Run failed", 500, 1


_STANDARD_MEMBERS = {"type", "title", "status", "detail", "hint", "exit_code"}


def error_types() -> dict[str, type[ScreenalyticsError]]:
    """Every concrete error of the product's interfaces, by its slug."""
    found = ScreenalyticsError.__subclasses__()
    return {cls.slug: cls for cls in found if cls.__module__ == __name__}


def from_dict(body: dict[str, Any]) -> ScreenalyticsError:
    """The error that `to_dict` described; a type that is not known becomes `RunFailed`."""
    slug = str(body.get("type", "")).rpartition(":")[2]
    cls = error_types().get(slug, RunFailed)
    extra = {key: value for key, value in body.items() if key not in _STANDARD_MEMBERS}
    hint = body.get("hint")
    return cls(
        str(body.get("detail", cls.title)), hint=None if hint is None else str(hint), **extra
    )
