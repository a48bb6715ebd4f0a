"""Queues many episodes at a web service, and follows them: `screenalytics queue a-s01e01 ...`."""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.common.terminal import printable

if TYPE_CHECKING:
    import httpx

_PATH = "/celery_jobs/detect_track/batch"
_POLL_SECONDS = 1.0
_READ_SECONDS = 300.0  # a thousand episodes take their time
_TRIES = 5  # of a request that may be sent again


def main() -> int:
    arguments = parser().parse_args()

    import httpx

    from apps.common.certificates import certificates
    from apps.common.errors import ScreenalyticsError
    from apps.common.settings import Settings

    try:
        key = Settings.read().api_key
        with httpx.Client(
            base_url=arguments.url,
            headers={} if key is None else {"X-API-Key": key.get_secret_value()},
            timeout=httpx.Timeout(10, read=_READ_SECONDS),
            trust_env=False,
            verify=certificates(),
        ) as client:
            return Queue(arguments, client).run()
    except KeyboardInterrupt:
        print(
            "What is queued goes on: see screenalytics queue --list, --follow and --cancel.",
            file=sys.stderr,
        )
        return 130
    except ScreenalyticsError as error:
        _complain(f"error: {error.message}")
        return error.exit_code


def parser() -> argparse.ArgumentParser:
    from apps.common.option_flags import add_flags

    p = argparse.ArgumentParser(
        description="Queues many episodes for the workers, as one batch, and follows it to its "
        "end. Ctrl-C leaves it on.",
    )
    what = p.add_argument_group("what").add_mutually_exclusive_group(required=True)
    what.add_argument("ep_ids", nargs="*", default=[], metavar="EP_ID", help="episodes by name")
    what.add_argument("--pattern", metavar="P", help="all whose names match, such as 'talk-s01e*'")
    what.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="uploads the videos of a folder that are no episodes yet, and queues them",
    )
    what.add_argument(
        "--server-folder",
        metavar="DIR",
        help="imports the new videos of a folder that the server has (a path below its "
        "SCREENALYTICS_IMPORT_FOLDER, . for that one), and queues them",
    )
    what.add_argument("--follow", metavar="BATCH", help="a batch that was queued before")
    what.add_argument("--retry", metavar="BATCH", help="those again that failed or were refused")
    what.add_argument("--cancel", metavar="BATCH", help="ends all of its jobs")
    what.add_argument("--list", action="store_true", help="the newest batches")
    p.add_argument("--url", default="http://127.0.0.1:8000", help="default: %(default)s")
    p.add_argument("--no-wait", action="store_true", help="do not follow it")
    p.add_argument(
        "--priority",
        choices=["normal", "low"],
        help="low (the default): whoever waits for one episode goes first",
    )
    p.add_argument(
        "--segments",
        type=_segments,
        metavar="N",
        help="divide each run among workers: auto (the default: where some are idle), off, or 2…",
    )
    p.add_argument("--timeout-s", type=float, metavar="S", help="longest run, seconds")
    add_flags(p.add_argument_group("options of the runs, as of `screenalytics run`"))
    return p


def _segments(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


class Queue:
    """One call of the command."""

    def __init__(self, arguments: argparse.Namespace, client: httpx.Client) -> None:
        self._arguments = arguments
        self._client = client

    def run(self) -> int:
        arguments = self._arguments
        if arguments.list:
            return self._list()
        if arguments.cancel is not None:
            _tell(self._ask("POST", f"{_PATH}/{arguments.cancel}/cancel"))
            return 0
        if arguments.folder is not None:
            return self._send_folder(arguments.folder)
        if arguments.server_folder is not None:
            return self._import_folder()
        if arguments.follow is not None:
            batch = self._batch(arguments.follow)
        elif arguments.retry is not None:
            batch = self._ask("POST", f"{_PATH}/{arguments.retry}/retry")
        else:
            batch = self._start(arguments.ep_ids or None)
        return self._told(batch)

    def _import_folder(self) -> int:
        from apps.cli.import_watch import ImportWatch

        with ImportWatch(self._client, f"{_PATH}/imports"):
            batch = self._start(None)
        counts = batch["imports"]["counts"]
        print(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "-")
        for one in batch["imports"]["files"]:
            if one["why"] is not None:
                _complain(f"{one['file']}: {one['outcome']}: {one['why']}")
        code = 1 if counts.get("refused") else 0
        if batch["batch_id"] is None:
            print("Nothing new.")
            return code
        return self._told(batch) or code

    def _told(self, batch: dict[str, Any]) -> int:
        _tell(batch)
        return 0 if self._arguments.no_wait else self._follow(batch)

    def _send_folder(self, folder: Path) -> int:
        from apps.cli.folder_upload import FolderUpload

        upload = FolderUpload(self._client)
        upload.send(folder)
        for name, why in upload.refused.items():
            _complain(f"{name}: not uploaded: {why}")
        code = 1 if upload.refused else 0
        if not upload.new:
            print("Nothing new.")
            return code
        return self._told(self._start(upload.new)) or code

    def _start(self, episodes: list[str] | None) -> dict[str, Any]:
        # With a key, so that one whose answer is lost can be sent again.
        return self._ask("POST", _PATH, json=self._wanted(episodes), key=str(uuid.uuid4()))

    def _wanted(self, episodes: list[str] | None) -> dict[str, Any]:
        from apps.common.option_flags import given

        arguments = self._arguments
        own = {
            "episodes": episodes,
            "pattern": arguments.pattern,
            "folder": arguments.server_folder,
            "priority": arguments.priority,
            "segments": arguments.segments,
            "timeout_s": arguments.timeout_s,
        }
        return given(arguments) | {name: value for name, value in own.items() if value is not None}

    def _batch(self, batch_id: str) -> dict[str, Any]:
        return self._ask("GET", f"{_PATH}/{batch_id}")

    def _list(self) -> int:
        found = self._ask("GET", _PATH)
        if found["queue_problem"] is not None:
            _complain(f"error: {found['queue_problem']}")
            return 1
        for batch in found["items"]:
            print(f"{batch['created_at']}  {_line(batch)}")
        return 0

    def _follow(self, batch: dict[str, Any]) -> int:
        said = _line(batch)
        while batch["state"] == "active":
            time.sleep(_POLL_SECONDS)
            batch = self._batch(batch["batch_id"])
            if _line(batch) != said:
                said = _line(batch)
                print(said, flush=True)
        for item in batch["items"]:
            if item["error"] is not None:
                why = f"{item['error'].get('detail')} {item['error'].get('hint', '')}".strip()
                _complain(f"{item['ep_id']}: {item['state']}: {why}")
        return 0 if batch["state"] == "success" else 1

    def _ask(
        self, method: str, path: str, *, json: Any = None, key: str | None = None
    ) -> dict[str, Any]:
        """An answer's body.

        Raises:
            ScreenalyticsError: what the service says, or that none answers.
        """
        import httpx

        from apps.common.errors import QueueUnavailable, StillAnswering, from_dict

        headers = {} if key is None else {"Idempotency-Key": key}
        left = _TRIES if method == "GET" or key is not None else 1
        while True:
            left -= 1
            try:
                answer = self._client.request(method, path, json=json, headers=headers)
                body = answer.json()
            except (httpx.TransportError, httpx.InvalidURL, ValueError) as error:
                if left == 0 or isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
                    raise QueueUnavailable(
                        f"No service answers at {self._arguments.url}.",
                        hint="Start it with `screenalytics up`, or name it with --url.",
                    ) from None
            else:
                if answer.is_success:
                    return dict(body)
                problem = from_dict(body)
                if not isinstance(problem, StillAnswering):
                    raise problem
                left = _TRIES  # the first request is being worked on, however long that takes
            time.sleep(_POLL_SECONDS)


def _complain(line: str) -> None:
    print(printable(line), file=sys.stderr)


def _tell(batch: dict[str, Any]) -> None:
    print(_line(batch), flush=True)


def _line(batch: dict[str, Any]) -> str:
    """A batch in one line."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(batch["counts"].items()))
    eta = batch["eta_sec"]
    left = f", about {_duration(eta)} left" if batch["state"] == "active" and eta else ""
    return f"{batch['batch_id']}: {batch['progress']:.0%} of {batch['total']}: {counts}{left}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


if __name__ == "__main__":
    sys.exit(main())
