"""The folder of rendered evaluation episodes: made on demand, made again when their recipe changed.

The folder is a data root (`videos/<ep_id>/...`), so the product runs on it as it is. Beside the
video and its ground truth lie the faces that are neither to be found nor to be missed
(`ground_truth_partial.txt`, MOT lines whose flag is 0), and `about.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2

from apps.common.layout import Layout
from apps.demo import encode, look, scene
from apps.demo.scene import Episode, ground_truth
from lab.scenes.evaluation_set import RECIPES, Recipe, make_episode
from lab.scenes.seeds import SEEDS

ABOUT_NAME = "about.json"
PARTIAL_NAME = "ground_truth_partial.txt"


@dataclass(frozen=True)
class Entry:
    """One evaluation episode, rendered or not."""

    set_name: str
    recipe: Recipe
    episode: Episode
    take: int = 1

    def folder(self, root: Path) -> Path:
        return Layout(root).episode(self.episode.ep_id)


def entries(sets: tuple[str, ...], names: tuple[str, ...]) -> Iterator[Entry]:
    """Yield the wanted episodes, set by set and take by take.

    Args:
        sets: keys of `SEEDS`.
        names: recipes; none means all.

    Raises:
        ValueError: there is no such set or recipe.
    """
    known = {recipe.name for recipe in RECIPES}
    if unknown := sorted({*sets} - {*SEEDS}):
        raise ValueError(f"no set {unknown[0]!r}; there are: {', '.join(SEEDS)}")
    if unknown := sorted({*names} - known):
        raise ValueError(f"no episode {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    for set_name in sets:
        for take in range(1, len(SEEDS[set_name]) + 1):
            for recipe in RECIPES:
                if not names or recipe.name in names:
                    episode = make_episode(set_name, recipe, take)
                    yield Entry(set_name, recipe, episode, take)


def is_current(entry: Entry, root: Path) -> bool:
    """Tell whether the episode is there, as its recipe and the renderer make it today."""
    return is_rendered(entry.folder(root), fingerprint(entry.episode))


def is_rendered(folder: Path, fingerprint: str) -> bool:
    """Tell whether a folder holds the episode of a fingerprint."""
    try:
        about = json.loads((folder / ABOUT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return encode.is_complete(folder) and about.get("fingerprint") == fingerprint


def render(entry: Entry, root: Path, wrap: encode.Wrap | None = None) -> None:
    """Render the episode; what is there of it goes. `about.json` comes last."""
    about = {
        "set": entry.set_name,
        "seed": SEEDS[entry.set_name][entry.take - 1],
        "recipe": entry.recipe.name,
        "tests": entry.recipe.tests,
        "fingerprint": fingerprint(entry.episode),
    }
    render_episode(entry.episode, about, root, wrap)


def render_episode(
    episode: Episode, about: Mapping[str, object], root: Path, wrap: encode.Wrap | None = None
) -> None:
    """Render an episode with all that is true of it.

    Args:
        about: more facts for `about.json`.
    """
    folder = Layout(root).episode(episode.ep_id)
    (folder / ABOUT_NAME).unlink(missing_ok=True)
    encode.write_episode(episode, root, force=True, wrap=wrap)
    partial = ground_truth(episode).partial
    lines = "".join(encode.mot_line(row, flag=0) + "\n" for row in partial)
    (folder / PARTIAL_NAME).write_text(lines, encoding="ascii", newline="\n")
    transitions = [asdict(transition) for transition in episode.transitions]
    text = json.dumps({**about, "transitions": transitions}, indent=2) + "\n"
    (folder / ABOUT_NAME).write_text(text, encoding="utf-8", newline="\n")


def fingerprint(episode: Episode) -> str:
    """Return a name for everything that the rendered files depend on."""
    digest = hashlib.sha256(json.dumps(asdict(episode), default=_plain).encode())
    for module in (scene, look, encode):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(f"{av.__version__} {cv2.__version__}".encode())
    return digest.hexdigest()[:16]


def _plain(value: object) -> str:
    if isinstance(value, Fraction):
        return str(value)
    return str(value.__name__)  # type: ignore[attr-defined]  # easings are functions
