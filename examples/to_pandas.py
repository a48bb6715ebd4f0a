"""A run's results as pandas tables: who is on the screen for how long, and when.

python examples/to_pandas.py data/manifests/test-ep/runs/RUN_ID

Needs the package pandas, and no service. `docs/contract.md` says what the columns are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd


def tables(run: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Detections (a face a row) and tracks (a track a row) of a run's folder."""
    detections = pd.read_json(run / "detections.jsonl", lines=True)
    tracks = pd.read_json(run / "tracks.jsonl", lines=True)
    if not detections.empty:
        corners = pd.DataFrame(detections.pop("bbox").tolist(), columns=["x1", "y1", "x2", "y2"])
        detections = detections.join(corners)
    if not tracks.empty:
        tracks = tracks.join(pd.DataFrame(tracks.pop("stats").tolist()))
    return detections, tracks


def main() -> None:
    parser = argparse.ArgumentParser(description="A run's results as pandas tables.")
    parser.add_argument("run", type=Path, help="the run's folder")
    detections, tracks = tables(parser.parse_args().run)
    if tracks.empty:
        print("No tracks.")
        return
    longest = tracks.sort_values("screen_s", ascending=False)
    columns = ["track_id", "start_s", "screen_s", "screen_error_s", "ended", "detections"]
    print(longest[columns].head(10).to_string(index=False))
    tracked = detections.dropna(subset=["track_id"])
    minutes = tracked.groupby(tracked["ts_s"] // 60)["track_id"].nunique()
    print("\ntracks in each minute")
    print(minutes.rename_axis("minute").to_string())


if __name__ == "__main__":
    main()
