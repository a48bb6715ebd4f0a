"""The API and the bucket of the check, as seen from outside; each answer is kept."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

API_URL, BUCKET_URL = "http://127.0.0.1:8000", "http://127.0.0.1:5055"
BUCKET = "shows"
_POLL_SECONDS = 0.5
_ENDED = ("success", "failed", "cancelled")


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true answer."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > until:
            raise RuntimeError(f"waited {seconds:.0f} s for {what}")
        time.sleep(_POLL_SECONDS)
    return found


class Api:
    """Asks the API, with its key.

    Attributes:
        answers: all that it said, to look for secrets in.
    """

    def __init__(self, key: str) -> None:
        headers = {"X-API-Key": key}
        self._client = httpx.Client(base_url=API_URL, headers=headers, timeout=300)
        self.answers: list[bytes] = []

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._client.request(method, path, **more)
        self.answers.append(answer.content)
        answer.raise_for_status()
        return answer

    def read(self, path: str) -> Any:
        return self.ask("GET", path).json()

    def upload(self, ep_id: str, video: Path) -> None:
        with video.open("rb") as file:
            form = {"ep_id": ep_id}
            self.ask("POST", "/episodes", data=form, files={"file": (video.name, file)})

    def queue(self, ep_id: str, **options: Any) -> str:
        """The job's id."""
        body = {"ep_id": ep_id, "segments": "off", **options}
        return str(self.ask("POST", "/celery_jobs/detect_track", json=body).json()["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.read(f"/celery_jobs/{job_id}")
        return found

    def worked_on(self, job_id: str, seconds: float = 60) -> dict[str, Any]:
        """The job, when a worker has looked at frames of it."""

        def job() -> dict[str, Any] | None:
            found = self.job(job_id)
            if found["state"] in _ENDED:
                raise RuntimeError(f"the job has ended already: {found}")
            begun = found["state"] == "in_progress" and (found["progress"] or {}).get("frames_done")
            return found if begun else None

        found: dict[str, Any] = wait_for(job, seconds, "a worker that takes the job")
        return found

    def ended(self, job_id: str, seconds: float = 300) -> dict[str, Any]:
        def job() -> dict[str, Any] | None:
            found = self.job(job_id)
            return found if found["state"] in _ENDED else None

        found: dict[str, Any] = wait_for(job, seconds, "the end of the job")
        return found


class Bucket:
    """Looks into moto's bucket, which asks nobody for a key."""

    def __init__(self) -> None:
        scope = "AKIANOBODY/20260101/us-east-1/s3/aws4_request"
        signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"
        headers = {"authorization": signed}
        self._client = httpx.Client(base_url=BUCKET_URL, headers=headers, timeout=60)

    def make(self) -> None:
        self._client.put(f"/{BUCKET}").raise_for_status()

    def names(self) -> list[str]:
        text = self._client.get(f"/{BUCKET}?list-type=2").raise_for_status().text
        return re.findall("<Key>([^<]+)</Key>", text)

    def get(self, key: str) -> bytes:
        return self._client.get(f"/{BUCKET}/{key}").raise_for_status().content
