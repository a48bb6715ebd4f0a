"""Render the demo episode: ``python -m apps.demo.episode [--data-root data] [--force]``.

The pictures are moving views over photos that installed packages bring along, so nothing has to
be downloaded and no media has to be kept in the repository.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import track

from apps.common.errors import InvalidInput
from apps.common.layout import Layout
from apps.demo.encode import write_episode
from apps.demo.look import Image
from apps.demo.scene import (
    ASTRONAUT,
    GROUP,
    ROCKET,
    Camera,
    Episode,
    Placement,
    Shot,
    Sprite,
    View,
    linear,
)

DEMO_EP_ID = "demo-s01e01"


def demo_episode(ep_id: str = DEMO_EP_ID) -> Episode:
    """Return the demo episode: 20 s at 24 frames per second, 1280x720, eight shots."""
    astronaut_walks_by = Sprite(
        ASTRONAUT, (Placement(-350, 105, 0.7), Placement(640, 105, 0.7)), linear
    )
    shots = (
        # All six people, slowly closer.
        Shot(60, GROUP, Camera((View(640, 370, 1280), View(645, 340, 1120)))),
        # From the mission patch up to the face, which enters from the top.
        Shot(60, ASTRONAUT, Camera((View(256, 360, 512), View(240, 145, 470)))),
        # Along the table from left to right: two people leave, three come in.
        Shot(96, GROUP, Camera((View(360, 275, 720), View(920, 260, 720)))),
        # In front of the rocket: enters on the left, leaves on the right.
        Shot(84, ROCKET, Camera((View(300, 240, 600), View(330, 235, 560))), (astronaut_walks_by,)),
        # The two in the middle.
        Shot(42, GROUP, Camera((View(655, 375, 640), View(665, 375, 590)))),
        # Answer: the astronaut once more.
        Shot(36, ASTRONAUT, Camera((View(256, 170, 512), View(246, 155, 480)))),
        # The two on the right, slowly away from them.
        Shot(42, GROUP, Camera((View(1005, 232, 540), View(990, 233, 570)))),
        # From the two on the left back to everybody.
        Shot(60, GROUP, Camera((View(330, 290, 640), View(640, 370, 1270)))),
    )
    return Episode(ep_id, shots)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Render the demo episode with its ground truth.")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="default: %(default)s")
    parser.add_argument("--ep-id", default=DEMO_EP_ID, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="render even if it is there already")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parse(argv)
    episode = demo_episode(options.ep_id)

    def with_progress(frames: Iterable[Image]) -> Iterable[Image]:
        console = Console(stderr=True)
        hidden = not console.is_terminal
        return track(
            frames, "rendering", episode.frames, console=console, transient=True, disable=hidden
        )

    try:
        folder = Layout(options.data_root).episode(options.ep_id)
        written = write_episode(episode, options.data_root, force=options.force, wrap=with_progress)
    except InvalidInput as error:
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    what = f"rendered {episode.frames} frames" if written else "already there, left alone"
    print(f"{episode.ep_id}: {what} ({folder})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
