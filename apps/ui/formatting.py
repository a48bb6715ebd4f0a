"""Figures and names in the form in which people read them."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo

from apps.common.names import track_number
from apps.common.options import Options
from apps.ui.numbers import counted, day_and_time, decimal, significant

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:])")
# What is made into an icon, an emoji or a link even where backslashes stand in it.
_LIVELY = re.compile(r"(:(?=[A-Za-z+\-][\w+\-/]*:)|:(?=//)|www(?=\.)|@)", re.IGNORECASE)
_JOINER = "\u2060"  # is not seen, and nothing breaks at it
_SOURCES = {
    "request": "chosen here",
    "default": "default",
    "profile": "profile {}",
    "env": "environment, {}",
    "device": "usual for {}",
    "detector": "usual for {}",
    "fallback": "fallback to {}",
}
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}
_LIMITS = {
    "limit:cores": "limited by this machine's cores",
    "limit:worker_cores": "limited by the worker's cores",
}
OPTION_LABELS = {name: field.title or name for name, field in Options.model_fields.items()}
_FIELDS = re.compile(rf"\b({'|'.join(name for name in OPTION_LABELS if '_' in name)})\b")
MODE_LABELS = {
    "local": "Local Worker (direct)",
    "redis": "Redis/Celery (queued)",
    "sse": "Old path (SSE)",
    "cli": "Command line",
}
RUN_ENDS = {
    "failed": "has failed",
    "cancelled": "was cancelled",
    "interrupted": "was interrupted",
}

ENDS = {
    "cut": "shot cut",
    "left": "left the picture",
    "covered": "covered",
    "lost": "lost",
    "end": "end of the video",
}


def plain(text: str) -> str:
    """Text that Markdown shows as it is: no link, picture, formula or icon comes out of it."""
    return _MARKDOWN.sub(r"\\\1", _LIVELY.sub(r"\1" + _JOINER, text))


def with_commands(text: str) -> str:
    """The same, but what stands between backticks is shown as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return plain(text)
    return "".join(f"`{part}`" if place % 2 else plain(part) for place, part in enumerate(parts))


def duration(seconds: float | None) -> str:
    """`0.8 s`, `12 s`, `3 min 20 s`, `1 h 02 min`; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{decimal(seconds, 1)} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def screen_time(seconds: float, error_s: float | None) -> str:
    """On the screen, in tenths: `12.4 s`, `12.4 ± 0.3 s`.

    Args:
        error_s: standard error; one that does not show in a tenth is left out.
    """
    length = decimal(seconds, 1)
    if error_s is None or error_s < 0.05:
        return f"{length} s"
    return f"{length} ± {decimal(error_s, 1)} s"


def clock(seconds: float) -> str:
    """A place in a video: `0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(number: float | None) -> str:
    """Bytes: `640 kB`, `1.3 GB`."""
    if number is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{decimal(number, 0 if unit in ('B', 'kB') else 1)} {unit}"
        number /= 1000
    return f"{decimal(number, 1)} TB"


def megabytes(number: float | None) -> str:
    """Of a number of them: `640 MB`, `58.4 GB`."""
    if number is None or number < 1000:
        return "–" if number is None else f"{decimal(number, 0)} MB"
    return size(number * 1e6)


def percent(number: float | None) -> str:
    """CPU; 100 percent is one core."""
    return "–" if number is None else f"{decimal(number, 0)} %"


def rate(number: float | None) -> str:
    """Frames a second."""
    return "–" if number is None else f"{decimal(number, 1)}/s"


def count(number: float | None) -> str:
    """A whole number; `counted` has the word behind it."""
    return "–" if number is None else decimal(number, 0)


def track(track_id: str) -> str:
    """What a track is called: `track 12`, as on its box in the video."""
    return f"track {track_number(track_id)}"


def moment(iso: str, zone: tzinfo | None) -> str:
    """A time stamp in the reader's zone: `24 Nov, 10:21`; as it is where it cannot be read."""
    try:
        local = datetime.fromisoformat(iso).astimezone(zone)
    except ValueError:
        return iso
    return day_and_time(local)


def source(word: str) -> str:
    """Where an option came from, e.g. `profile:balanced` as `profile balanced`."""
    return "; ".join(_source(part) for part in word.split(", "))


def _source(part: str) -> str:
    if part.startswith("limit:"):
        return _LIMITS.get(part, f"limited by {part.removeprefix('limit:')}")
    kind, _, rest = part.partition(":")
    return _SOURCES.get(kind, part).format(rest)


def option(name: str, value: object) -> str:
    """An option's value with its unit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if name == "max_cpu_percent" and isinstance(value, int | float):
        return f"{significant(value)} % ({counted(value / 100, 'core')})"
    if name == "stride" and isinstance(value, int):
        return "every frame" if value == 1 else f"every {ordinal(value)} frame"
    if name == "det_size":
        return f"{value} px"
    if name == "small_faces":
        return str(value).replace("_", " ")
    if isinstance(value, float):
        return significant(value)
    return str(value)


def in_words(text: str) -> str:
    """A sentence of the API with the labels of the form in place of its fields' names.

    Fields whose names are words of English (`stride`) stay as they are.
    """
    return _FIELDS.sub(lambda found: f"“{OPTION_LABELS[found.group()]}”", text)


def ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{_ORDINALS.get(number % 10, 'th')}"
