"""A data root as it should not be, but can be: very many, very long, and hostile."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lab.processes.service import add_episode, run_cli

FPS, HOUR_FRAMES, STRIDE = 25, 90_000, 6
TRACKS = 5000
EPISODES = 500
HOSTILE = (
    '![x](http://attacker.invalid/p.png) <img src="http://attacker.invalid/q.png"> '
    "<script>alert(1)</script> [link](http://attacker.invalid/) :material/delete: "
    ":red[red] $x^2$ http://www.attacker.invalid/"
)


@dataclass(frozen=True)
class OddRun:
    ep_id: str
    run_id: str


LONG = OddRun("long-show", "generated")
WARNED = OddRun("hostile", "warned")
FAILED = OddRun("hostile", "failed")


def fill(root: Path, video: Path) -> None:
    """500 episodes, one of them `a-talk` with a real run; an hour with 5,000 tracks; hostile text.

    Args:
        video: a short one.
    """
    for number in range(EPISODES):
        folder = root / "videos" / f"ep-{number:03d}"
        folder.mkdir(parents=True)
        (folder / "episode.mp4").write_bytes(b"no video")
    for ep_id in ("a-talk", LONG.ep_id, WARNED.ep_id):
        add_episode(root, ep_id, video)
    done = run_cli(root, "--ep-id", "a-talk", "--stride", "30", "--run-id", "real")
    assert done.returncode == 0, done.stderr
    model = root / "manifests" / "a-talk" / "runs" / "real"
    write_long_run(root, LONG, model, TRACKS, HOUR_FRAMES)
    _hostile_runs(root, json.loads((model / "run.json").read_text()))


def _renamed(manifest: dict[str, Any], run: OddRun) -> dict[str, Any]:
    changed = copy.deepcopy(manifest)
    for part in (changed, changed["result"]):
        part |= {"ep_id": run.ep_id, "run_id": run.run_id}
    return changed


def _folder(root: Path, run: OddRun) -> Path:
    folder = root / "manifests" / run.ep_id / "runs" / run.run_id
    folder.mkdir(parents=True)
    return folder


def write_long_run(root: Path, run: OddRun, model: Path, count: int, video_frames: int) -> None:
    """A run with tracks of two seconds, evenly over the video; each has four faces.

    Args:
        model: folder of a real run, whose other facts and first track it takes over.
        count: of tracks.
        video_frames: of the video, of which there are 25 a second.
    """
    manifest = json.loads((model / "run.json").read_text())
    track = json.loads((model / "tracks.jsonl").read_text().splitlines()[0])
    face = json.loads((model / "detections.jsonl").read_text().splitlines()[0])
    changed = _renamed(manifest, run)
    changed["video"] |= {"fps": FPS, "frames": video_frames, "duration_s": video_frames / FPS}
    changed["effective_stride"] = STRIDE
    frames = video_frames // STRIDE
    changed["counts"]["frames_done"] = frames
    changed["result"] |= {"frames_total": frames, "frames_done": frames, "tracks": count}
    changed["result"] |= {"detections": 4 * count}
    tracks, faces = [], []
    picture = _picture()
    folder = _folder(root, run)
    (folder / "thumbs").mkdir()
    for number in range(count):
        name = f"track-{number + 1:05d}"
        first = number * (video_frames - 100) // count // STRIDE * STRIDE
        last = first + 2 * FPS // STRIDE * STRIDE
        times = {"start_s": first / FPS, "end_s": last / FPS, "frame_span": [first, last]}
        stats = {"detections": 4, "avg_conf": 0.5 + number % 50 / 100}
        tracks.append({**track, "track_id": name, **times, "stats": stats})
        for place in range(4):
            frame = first + place * 2 * STRIDE
            faces.append({**face, "frame_idx": frame, "ts_s": frame / FPS, "track_id": name})
        (folder / "thumbs" / f"{name}.jpg").write_bytes(picture)
    faces.sort(key=lambda row: row["frame_idx"])
    metrics = json.loads((model / "track_metrics.json").read_text())
    metrics["scene_cuts"] = list(range(0, video_frames, 250))[1:]
    (folder / "track_metrics.json").write_text(json.dumps(metrics))
    (folder / "tracks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tracks))
    (folder / "detections.jsonl").write_text("".join(json.dumps(row) + "\n" for row in faces))
    (folder / "run.json").write_text(json.dumps(changed))


def _hostile_runs(root: Path, manifest: dict[str, Any]) -> None:
    warned = _renamed(manifest, WARNED)
    warned |= {"started_at": HOSTILE, "provider": HOSTILE, "exit_reason": HOSTILE}
    warned["warnings"] = warned["result"]["warnings"] = [HOSTILE]
    warned["result"] |= {"provider": HOSTILE, "profile": HOSTILE, "logs": [HOSTILE]}
    failed = _renamed(manifest, FAILED)
    failed |= {"status": "failed", "exit_reason": HOSTILE, "result": None}
    failed["started_at"] = f"!!{HOSTILE}"
    for run, body in ((WARNED, warned), (FAILED, failed)):
        folder = _folder(root, run)
        (folder / "run.json").write_text(json.dumps(body))
        (folder / "run.log").write_text(f"{HOSTILE}\n")
        for name in ("tracks.jsonl", "detections.jsonl"):
            (folder / name).write_text("")
        (folder / "track_metrics.json").write_text("{}")


def _picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "#808890").save(stream, "JPEG")
    return stream.getvalue()
