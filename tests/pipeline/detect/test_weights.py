"""Weights that are downloaded, from servers on loopback that behave and that do not."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from apps.common import model_files
from apps.common.config import DetectorConfig, model_registry
from apps.common.errors import ModelUnavailable, RunCancelled, StorageFailed
from apps.common.files import sha256_of
from apps.common.model_files import GivenWeights, detectors_on_disk, downloaded_weights
from apps.pipeline.detect.weights import packaged_model, weights_of
from apps.pipeline.inference.callbacks import NO_CALLBACKS, LoadCallbacks
from lab.processes.ports import free_port

CONTENT = bytes(range(256)) * 4096  # a megabyte
SHA256 = hashlib.sha256(CONTENT).hexdigest()
Behaviour = Callable[["_Handler"], None]


@dataclass
class Source:
    """A server of weights.

    Args:
        behaviours: what it does, by path.
        asked: paths, in order.
    """

    url: str
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def config(self, path: str = "/weights.onnx") -> DetectorConfig:
        return DetectorConfig(
            summary="A detector.",
            licence="MIT",
            det_thresh=0.5,
            nms_iou=0.3,
            url=self.url + path,
            file="weights.onnx",
            sha256=SHA256,
        )


class _Handler(BaseHTTPRequestHandler):
    source: Source

    def do_GET(self) -> None:
        self.source.asked.append(self.path)
        self.source.behaviours.get(self.path, everything)(self)

    def begin(self, length: int | None, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def everything(request: _Handler) -> None:
    request.begin(len(CONTENT))
    request.wfile.write(CONTENT)


def redirect_to(target: str) -> Behaviour:
    return lambda request: request.begin(0, 302, Location=target)


def broken_off(request: _Handler) -> None:
    request.begin(len(CONTENT))
    request.wfile.write(CONTENT[:100_000])
    request.close_connection = True


def wrong_bytes(request: _Handler) -> None:
    request.begin(len(CONTENT))
    request.wfile.write(CONTENT[:-1] + b"!")


def missing(request: _Handler) -> None:
    request.begin(0, 404)


@contextmanager
def serving_weights() -> Iterator[Source]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    source = Source(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"source": source})
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield source
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def source() -> Iterator[Source]:
    with serving_weights() as running:
        yield running


def left(cache: Path) -> list[str]:
    """Names of what is kept, but for locks."""
    return sorted(path.name for path in cache.rglob("*") if path.suffix not in ("", ".lock"))


def refused(config: DetectorConfig, cache: Path) -> ModelUnavailable:
    """The refusal, after which nothing is kept."""
    with pytest.raises(ModelUnavailable) as caught:
        weights_of(config, None, cache, NO_CALLBACKS)
    assert left(cache) == []
    assert caught.value.hint is not None
    assert "--detector-model" in caught.value.hint
    assert str(config.url) in caught.value.hint
    return caught.value


def test_it_is_downloaded_once_and_said(source: Source, tmp_path: Path) -> None:
    said: list[str] = []
    config = source.config()
    for _ in range(2):
        path = weights_of(config, None, tmp_path, LoadCallbacks(say=said.append))
        assert path.read_bytes() == CONTENT
    assert source.asked == ["/weights.onnx"]
    assert said[0] == "Downloading weights.onnx from 127.0.0.1, once"


def test_a_damaged_copy_is_downloaded_again(source: Source, tmp_path: Path) -> None:
    config = source.config()
    kept = downloaded_weights(config, tmp_path)
    kept.parent.mkdir()
    kept.write_bytes(CONTENT[:10])
    assert weights_of(config, None, tmp_path, NO_CALLBACKS).read_bytes() == CONTENT


def test_two_runs_download_it_once(source: Source, tmp_path: Path) -> None:
    def slow(request: _Handler) -> None:
        time.sleep(0.5)
        everything(request)

    source.behaviours["/weights.onnx"] = slow
    with ThreadPoolExecutor(4) as pool:
        paths = pool.map(
            lambda _: weights_of(source.config(), None, tmp_path, NO_CALLBACKS), range(4)
        )
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert len(source.asked) == 1


def test_a_redirect_of_the_same_scheme_is_followed(source: Source, tmp_path: Path) -> None:
    source.behaviours["/moved"] = redirect_to("/weights.onnx")
    config = source.config("/moved")
    assert weights_of(config, None, tmp_path, NO_CALLBACKS).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "target", ["https://127.0.0.1:1/x", "ftp://127.0.0.1/x", "file:///etc/passwd"]
)
def test_a_redirect_to_another_scheme(source: Source, tmp_path: Path, target: str) -> None:
    source.behaviours["/moved"] = redirect_to(target)
    assert "redirected from http to" in refused(source.config("/moved"), tmp_path).detail


def test_redirects_without_end(source: Source, tmp_path: Path) -> None:
    source.behaviours["/round"] = redirect_to("/round")
    assert "redirect" in refused(source.config("/round"), tmp_path).detail
    assert len(source.asked) < 10


def test_wrong_bytes(source: Source, tmp_path: Path) -> None:
    source.behaviours["/wrong"] = wrong_bytes
    detail = refused(source.config("/wrong"), tmp_path).detail
    assert "another file" in detail
    assert SHA256[:12] in detail


def test_a_download_that_breaks_off(source: Source, tmp_path: Path) -> None:
    source.behaviours["/half"] = broken_off
    assert "could not be downloaded" in refused(source.config("/half"), tmp_path).detail
    source.behaviours["/half"] = everything
    config = source.config("/half")
    assert weights_of(config, None, tmp_path, NO_CALLBACKS).read_bytes() == CONTENT


def test_an_answer_that_is_no_file(source: Source, tmp_path: Path) -> None:
    source.behaviours["/gone"] = missing
    assert "127.0.0.1 answered 404" in refused(source.config("/gone"), tmp_path).detail


def test_nobody_there(tmp_path: Path) -> None:
    config = Source(f"http://127.0.0.1:{free_port()}").config()
    assert "could not be downloaded" in refused(config, tmp_path).detail


def test_a_slow_download_tells_how_far_it_is_and_can_be_ended(
    source: Source, tmp_path: Path
) -> None:
    going = threading.Event()

    def drop_by_drop(request: _Handler) -> None:
        request.begin(len(CONTENT))
        for start in range(0, len(CONTENT), 8192):
            request.wfile.write(CONTENT[start : start + 8192])
            if going.wait(0.05):
                return

    said: list[str] = []

    def check() -> None:
        if any("Downloaded" in line for line in said):
            raise RunCancelled("The run was stopped.")

    source.behaviours["/slow"] = drop_by_drop
    with pytest.raises(RunCancelled):
        weights_of(source.config("/slow"), None, tmp_path, LoadCallbacks(said.append, check))
    going.set()
    assert said[-1].endswith(" of 1.0 MB")
    assert left(tmp_path) == []


def test_a_cache_that_cannot_be_written(source: Source, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a file where a folder should be")
    with pytest.raises(StorageFailed):
        weights_of(source.config(), None, tmp_path, NO_CALLBACKS)
    assert source.asked == []


# --- given by hand ------------------------------------------------------------------------------


def test_a_file_that_was_given_comes_first(source: Source, tmp_path: Path) -> None:
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(b"mine")
    assert weights_of(source.config(), str(mine), tmp_path, NO_CALLBACKS) == mine
    assert source.asked == []
    with pytest.raises(ModelUnavailable, match=r"other\.onnx does not exist") as caught:
        weights_of(source.config(), str(tmp_path / "other.onnx"), tmp_path, NO_CALLBACKS)
    assert "SCREENALYTICS_DETECTOR_MODEL" in str(caught.value.hint)


def test_weights_that_are_known_serve_their_detector_alone(tmp_path: Path) -> None:
    registry = model_registry().detectors
    centerface = str(packaged_model(registry["centerface"]))
    given = GivenWeights(detector_model=centerface)
    assert given.owner == "centerface"
    assert [given.of(name) for name in ("centerface", "yunet")] == [centerface, None]

    unknown = tmp_path / "mine.onnx"
    unknown.write_bytes(b"mine")
    assert GivenWeights(str(unknown)).owner is None
    assert {GivenWeights(str(unknown)).of(name) for name in registry} == {str(unknown)}


def test_retinaface_has_a_setting_of_its_own(tmp_path: Path) -> None:
    given = GivenWeights(str(tmp_path / "missing.onnx"), "my_pack")
    assert given.of("retinaface") == "my_pack"
    assert GivenWeights("my_pack").owner == "retinaface"
    assert [GivenWeights("my_pack").of(n) for n in ("retinaface", "yunet")] == ["my_pack", None]


def test_a_given_file_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request of the service asks whose it is."""
    path, read = tmp_path / "model.onnx", list[Path]()
    shipped = packaged_model(model_registry().detectors["centerface"])
    path.write_bytes(b"nobody knows it")

    def counted(file: Path) -> str:
        read.append(file)
        return sha256_of(file)

    monkeypatch.setattr(model_files, "sha256_of", counted)
    assert [GivenWeights(str(path)).owner for _ in range(3)] == [None] * 3
    assert len(read) == 1
    path.write_bytes(shipped.read_bytes())
    assert [GivenWeights(str(path)).owner for _ in range(3)] == ["centerface"] * 3
    assert len(read) == 2


def test_what_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path / "insightface"))
    assert detectors_on_disk(GivenWeights(), tmp_path) == {"centerface"}
    kept = downloaded_weights(model_registry().detectors["yunet"], tmp_path)
    kept.parent.mkdir()
    kept.write_bytes(b"as it was downloaded")
    assert detectors_on_disk(GivenWeights(), tmp_path) == {"centerface", "yunet", "cascade"}
