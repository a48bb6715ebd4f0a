"""Tracks as a file of CVAT for video 1.1, labelled as faces or by who they are.

Format: https://docs.cvat.ai/docs/other/xml_format, "interpolation". Pure, as `export.py`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from apps.common.contracts.rows import DetectionRow
from apps.common.names import track_name
from apps.results.export import ExportedRun, number_of_track

FACE = "face"
_SIGHTING = 5  # numbers: the frame, and the box as in its row


@dataclass(frozen=True)
class TrackLabels:
    """What tracks are labelled with.

    Args:
        by_track: labels by the track's id; others are faces.
        left_out: tracks that are not written.
    """

    by_track: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()


def cvat(
    rows: Iterable[DetectionRow], run: ExportedRun, labels: TrackLabels | None = None
) -> Iterator[str]:
    """A `track` for each track, a `box` for each of its faces; frames and ids count from 0.

    CVAT draws a face until its next box, so one with `outside="1"` stands at the first processed
    frame that lacks the face. Faces of no track are left out.

    Tracks come one after the other, so 40 bytes a row are held.

    Args:
        labels: of tracks; None labels all of them as faces.
    """
    labels = TrackLabels() if labels is None else labels
    yield _HEAD.format(
        name=escape(f"{run.ep_id} {run.run_id}"),
        size=run.frames,
        last=run.frames - 1,
        width=run.width,
        height=run.height,
        labels="".join(
            _LABEL.format(name=escape(label))
            for label in dict.fromkeys([FACE, *labels.by_track.values()])
        ),
    )
    paths = _paths(rows)
    for number in sorted(paths):
        name = track_name(number)
        if name in labels.left_out:
            continue
        label = quoteattr(labels.by_track.get(name, FACE), {"'": "&apos;"})
        yield f'  <track id="{number - 1}" label={label} source="auto">\n'
        yield from _boxes(paths[number], name, run)
        yield "  </track>\n"
    yield "</annotations>\n"


_LABEL = """        <label>
          <name>{name}</name>
          <type>rectangle</type>
          <attributes>
            <attribute>
              <name>track_id</name>
              <mutable>False</mutable>
              <input_type>text</input_type>
              <default_value></default_value>
              <values></values>
            </attribute>
          </attributes>
        </label>
"""

_HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <name>{name}</name>
      <size>{size}</size>
      <mode>interpolation</mode>
      <overlap>0</overlap>
      <start_frame>0</start_frame>
      <stop_frame>{last}</stop_frame>
      <frame_filter></frame_filter>
      <labels>
{labels}      </labels>
      <original_size>
        <width>{width}</width>
        <height>{height}</height>
      </original_size>
    </task>
  </meta>
"""


def _paths(rows: Iterable[DetectionRow]) -> dict[int, array[float]]:
    """Where each track was seen, by its number: `_SIGHTING` numbers for each time, one by one."""
    paths: dict[int, array[float]] = {}
    for row in rows:
        number = number_of_track(row)
        if number is None:
            continue
        path = paths.setdefault(number, array("d"))
        if not path or path[-_SIGHTING] != row.frame_idx:  # a second box would make CVAT refuse it
            path.extend((row.frame_idx, *row.bbox))
    return paths


def _boxes(path: array[float], track_id: str, run: ExportedRun) -> Iterator[str]:
    for start in range(0, len(path), _SIGHTING):
        following = start + _SIGHTING
        frame, left, top, right, bottom = path[start:following]
        corners = (
            f'xtl="{left * run.width:.3f}" ytl="{top * run.height:.3f}" '
            f'xbr="{right * run.width:.3f}" ybr="{bottom * run.height:.3f}"'
        )
        yield _box(int(frame), corners, track_id, outside=0)
        unseen = (int(frame) // run.stride + 1) * run.stride
        if unseen < (path[following] if following < len(path) else run.frames):
            yield _box(unseen, corners, track_id, outside=1)


def _box(frame: int, corners: str, track_id: str, *, outside: int) -> str:
    return (
        f'    <box frame="{frame}" {corners} outside="{outside}" occluded="0" keyframe="1" '
        f'z_order="0">\n      <attribute name="track_id">{track_id}</attribute>\n    </box>\n'
    )
