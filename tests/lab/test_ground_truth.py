"""Faces marked by hand are read as they stand in the file, or the file is refused with a reason."""

from __future__ import annotations

import os
import re
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.errors import InvalidInput
from lab.evaluate import main
from lab.evaluation.ground_truth import read_ground_truth
from lab.evaluation.rows import Frames, Marked

BOX = (
    '<box frame="{}" xtl="{}" ytl="20" xbr="{}" ybr="60" outside="{}" occluded="0" keyframe="{}"/>'
)


def box(frame: int, x: float = 10.0, *, outside: int = 0, keyframe: int = 1) -> str:
    return BOX.format(frame, x, x + 30, outside, keyframe)


def track(number: int, *boxes: str, label: str = "face") -> str:
    return f'<track id="{number}" label="{label}" source="manual">{"".join(boxes)}</track>'


def document(*tracks: str) -> str:
    meta = "<meta><task><name>a &amp; b</name><size>50</size></task></meta>"
    return f"<annotations><version>1.1</version>{meta}{''.join(tracks)}</annotations>"


def read(folder: Path, content: str | bytes, name: str = "gt") -> Frames:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    known = read_ground_truth(path)
    assert all(len(rows) == 0 for rows in known.ignored.values())
    return known.faces


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(folder, content)
    assert caught.value.hint
    assert len(caught.value.detail) < 400
    assert caught.value.detail.isprintable()
    return caught.value.detail


def as_lines(frames: Frames) -> list[tuple[int, int, list[float]]]:
    return [
        (frame, int(number), corners.tolist())
        for frame, rows in sorted(frames.items())
        for number, corners in zip(rows.ids, rows.boxes, strict=True)
    ]


# --- what is read -----------------------------------------------------------------------------


def test_boxes_are_as_they_stand_and_none_is_made_up(tmp_path: Path) -> None:
    """Key frames or not, what is there is read. Nothing is outside, nothing between."""
    text = document(
        track(0, box(0), box(1, 11.5, keyframe=0), box(2, outside=1), box(6, 12)),
        track(7, box(1, 200), box(9, 200, outside=1)),
    )
    assert as_lines(read(tmp_path, text)) == [
        (0, 1, [10, 20, 40, 60]),
        (1, 1, [11.5, 20, 41.5, 60]),
        (1, 8, [200, 20, 230, 60]),
        (6, 1, [12, 20, 42, 60]),
    ]


MOT = "1,4,10,20,30,40,1,1,1\n"
XML = document(track(3, box(0)))


@pytest.mark.parametrize(
    "name", ["gt.xml", "gt.txt", "annotations", "<a> & 'b'\n\x1b[31m.xml", "ä"]
)
@pytest.mark.parametrize(
    "content",
    [
        MOT,
        XML,
        "\n \t" + XML,
        '<?xml version="1.0" encoding="utf-8"?>\n' + XML,
        b"\xef\xbb\xbf" + XML.encode(),
        XML.encode("utf-16"),
    ],
)
def test_the_content_says_what_a_file_is(tmp_path: Path, name: str, content: str | bytes) -> None:
    assert as_lines(read(tmp_path, content, name)) == [(0, 4, [10, 20, 40, 60])]


def test_faces_are_the_tracks_with_that_label(tmp_path: Path) -> None:
    text = document(
        track(0, "<polygon/>", box(0), label="car"),
        track(1, box(0), label="Face"),
        track(2, box(0), label="&lt;face&gt;"),
    )
    assert [number for _, number, _ in as_lines(read(tmp_path, text))] == [2]


def test_nothing_was_marked(tmp_path: Path) -> None:
    assert read(tmp_path, document()) == {}
    assert read(tmp_path, document(track(0, box(3, outside=1)))) == {}
    assert read(tmp_path, "") == {}


def test_a_rotation_of_nothing_is_none(tmp_path: Path) -> None:
    upright = document(track(3, box(0).replace("/>", ' rotation="0.0"/>')))
    assert as_lines(read(tmp_path, upright)) == [(0, 4, [10, 20, 40, 60])]


# --- faces that need not be found -------------------------------------------------------------


def ignoring(text: str, name: str = "ignore") -> str:
    """A box with an attribute."""
    return box(0).replace("/>", f'><attribute name="{name}">{text}</attribute></box>')


@pytest.mark.parametrize("text", ["true", "True", " 1 "])
def test_a_box_may_be_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "gt").write_text(document(track(3, ignoring(text, "Ignore"), box(1))))
    known = read_ground_truth(tmp_path / "gt")
    assert as_lines(known.faces) == [(1, 4, [10, 20, 40, 60])]
    assert as_lines(known.ignored) == [(0, 4, [10, 20, 40, 60])]


def test_the_boxes_of_a_track_that_is_labelled_ignore_are(tmp_path: Path) -> None:
    (tmp_path / "gt").write_text(document(track(3, box(0)), track(4, box(0), label="Ignore")))
    known = read_ground_truth(tmp_path / "gt")
    assert as_lines(known.faces) == [(0, 4, [10, 20, 40, 60])]
    assert as_lines(known.ignored) == [(0, 5, [10, 20, 40, 60])]


@pytest.mark.parametrize(("text", "name"), [("false", "ignore"), ("", "ignore"), ("true", "blur")])
def test_other_boxes_are_not(tmp_path: Path, text: str, name: str) -> None:
    assert len(as_lines(read(tmp_path, document(track(3, ignoring(text, name)))))) == 1


def test_an_attribute_that_says_neither_is_refused(tmp_path: Path) -> None:
    assert "the box in frame 0 has ignore='maybe'" in refusal(
        tmp_path, document(track(3, ignoring("maybe")))
    )


# --- frames that are marked -------------------------------------------------------------------


def task(*tracks: str, **meta: object) -> str:
    """With what CVAT says of a task."""
    said = "".join(f"<{name}>{value}</{name}>" for name, value in meta.items())
    return document(*tracks).replace("<size>", f"{said}<size>")


def marked(folder: Path, text: str, every: int | None = None) -> Marked:
    (folder / "gt").write_text(text)
    return read_ground_truth(folder / "gt", every).marked


def mot(*frames: int) -> str:
    return "".join(f"{frame + 1},1,10,20,30,40,1\n" for frame in frames)


def test_cvat_says_its_frame_step_and_numbers_frames_as_the_video_does(tmp_path: Path) -> None:
    text = task(
        track(0, box(10), box(13), box(16, outside=1)),
        start_frame=10,
        stop_frame=40,
        frame_filter="step=3",
    )
    assert marked(tmp_path, text) == Marked(step=3, first=10, last=40)
    note = read_ground_truth(tmp_path / "gt").note
    assert "one frame in 3 from frame 10 to frame 40 (as CVAT's task has it)" in note
    every = task(track(0, box(0), box(1)), start_frame=0, frame_filter="")
    assert marked(tmp_path, every) == Marked()
    assert read_ground_truth(tmp_path / "gt").note == ""


def test_what_several_tasks_say_is_not_known(tmp_path: Path) -> None:
    text = task(track(0, box(1)), frame_filter="step=2").replace(
        "<size>", "<frame_filter>step=3</frame_filter><size>"
    )
    assert marked(tmp_path, text) == Marked()


def test_the_step_is_inferred_from_enough_rows(tmp_path: Path) -> None:
    assert marked(tmp_path, mot(*range(0, 24, 3))) == Marked(step=3)
    assert "(as its rows lie)" in read_ground_truth(tmp_path / "gt").note
    assert marked(tmp_path, mot(*range(0, 21, 3))) == Marked()  # seven may be chance
    assert marked(tmp_path, mot(*range(0, 24, 3), 25)) == Marked()
    assert marked(tmp_path, document(track(0, *(box(f) for f in range(0, 48, 6))))) == Marked(6)
    assert marked(tmp_path, "") == Marked()


def test_ignored_rows_tell_too_and_boxes_outside_do_not(tmp_path: Path) -> None:
    ignored = "2,1,10,20,30,40,0\n"
    assert marked(tmp_path, mot(*range(0, 24, 3)) + ignored) == Marked()
    boxes = [box(f) for f in range(0, 48, 6)]
    assert marked(tmp_path, document(track(0, *boxes, box(43, outside=1)))) == Marked(6)


def test_the_step_may_be_given(tmp_path: Path) -> None:
    assert marked(tmp_path, mot(0, 4), every=2) == Marked(2)
    assert marked(tmp_path, mot(*range(0, 48, 6)), every=3) == Marked(3)
    assert marked(tmp_path, mot(*range(0, 48, 6)), every=1) == Marked()


@pytest.mark.parametrize(
    ("text", "every", "reason"),
    [
        (mot(0, 3, 4), 3, "a face in frame 4 .from 0., but marks one frame in 3 .as given."),
        (task(track(0, box(4)), frame_filter="step=3"), None, "frame 4 .* .as CVAT's task has it."),
        (task(track(0, box(41)), stop_frame=40), None, "frame 41"),
    ],
)
def test_faces_in_frames_that_are_not_marked_are_refused(
    tmp_path: Path, text: str, every: int | None, reason: str
) -> None:
    (tmp_path / "gt").write_text(text)
    with pytest.raises(InvalidInput, match=reason) as caught:
        read_ground_truth(tmp_path / "gt", every)
    assert "--marked-every" in str(caught.value.hint)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<annotations", "unclosed token"),
        (XML[:-20], "no element found|unclosed token|mismatched"),
        (XML.replace("</track>", ""), "mismatched tag"),
        (XML + XML, "junk after document element"),
        ('<?xml version="1.0" encoding="klingon"?>' + XML, "unknown encoding"),
        (b'<?xml version="1.0" encoding="utf-8"?><annotations>\xff\xfe', "not well-formed"),
        ("<html><body>404</body></html>", "it begins with 'html'"),
        (f"<{'x' * 10_000}/>", "it begins with 'xxx"),
        ('<annotations><image id="0"><box/></image></annotations>', "images in place of tracks"),
        (document(track(0, "<polygon/>")), "has a 'polygon'"),
        (document(track(0, "<skeleton/>")), "has a 'skeleton'"),
        (document(track(0, box(0), box(0))), "track 0 has two boxes in frame 0"),
        (document(track(0, box(5)), track(0, box(5))), "two boxes"),
        (document(track(0, box(0), label="car"), track(1, label="\x9bm")), "'car, \\\\x9bm'"),
        (document(track(0, box(0), label="c" * 10_000)), "labelled 'ccc"),
        (document("<track id='0'/>"), "labelled ''"),
        (document("<track label='face'><box/></track>"), "track has id=''"),
        (XML.replace('id="3"', 'id="-1"'), "track has id='-1'"),
        (XML.replace('id="3"', 'id="٣"'), "track has id='٣'"),
        (XML.replace('frame="0"', 'frame="1.5"'), "box has frame='1.5'"),
        (XML.replace('frame="0"', 'frame="10000001"'), "more than 10000000"),
        (XML.replace('frame="0"', f'frame="{"9" * 5000}"'), "box has frame='999"),
        (XML.replace('outside="0"', ""), "box has outside=''"),
        (XML.replace('outside="0"', 'outside="2"'), "outside=2"),
        (XML.replace('xtl="10.0"', ""), "box has xtl=''"),
        (XML.replace('xtl="10.0"', 'xtl="nan"'), "box has xtl='nan'"),
        (XML.replace('xtl="10.0"', 'xtl="-inf"'), "box has xtl='-inf'"),
        (XML.replace('xtl="10.0"', 'xtl="1e99"'), "box has xtl='1e99'"),
        (XML.replace('xtl="10.0"', 'xtl="41"'), "has no size"),
        (XML.replace('xtl="10.0"', 'xtl="40"'), "has no size"),
        (XML.replace("/></track>", ' rotation="30"/></track>'), "is rotated"),
        (XML.replace("/></track>", ' rotation="x"/></track>'), "rotation='x'"),
        (b"PK\x03\x04" + b"\0" * 100, "is a ZIP file"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not a MOT file: it is no text"),
        ("nonsense", "not a MOT file: line 1: 1 columns in place of 6 or more"),
        ("frame,id,left,top,width,height\n1,1,2,3,4,5\n", "line 1: frame is 'frame', not a number"),
        ("\n1,1,2,3,4,5\n\n1,2,3,4,5\n", "line 4: 5 columns"),
        ("inf,1,2,3,4,5,6\n", "line 1: frame is 'inf'"),
        ("1.5,1,2,3,4,5,6\n", "line 1: frame '1.5' is not a whole number"),
        ("0,1,2,3,4,5,6\n", "line 1: frame '0' is below 1"),
        ("-3,1,2,3,4,5,6\n", "line 1: frame '-3' is below 1"),
        ("10000001,1,2,3,4,5,6\n", "line 1: frame '10000001' is beyond 1e.07"),
        ("1e18,1,2,3,4,5,6\n", "frame '1e18' is beyond"),
        ("1,nan,2,3,4,5,6\n", "line 1: id is 'nan'"),
        ("1,1e30,2,3,4,5,6\n", "line 1: id '1e30' is beyond"),
        ("1,-2,2,3,4,5,6\n", "line 1: id '-2' is below -1"),
        ("1,1,nan,3,4,5,6\n", "line 1: left is 'nan'"),
        ("1,1,2,1e308,4,5,6\n", "line 1: top '1e308' is beyond"),
        ("1,1,2,3,0,5,6\n", "line 1: width 0 is not above 0"),
        ("1,1,2,3,4,-5,6\n", "line 1: height -5 is not above 0"),
        ("1,1,2,3,4,1e308,6\n", "line 1: height '1e308' is beyond"),
        ("1,1,2,3,4,5,nan\n", "line 1: confidence is 'nan'"),
        ("1,1,2,3,4,5,6\n2,1,2,3,4,5,6\n1,1,9,9,4,5,6\n", "line 3: frame 1 has id 1 twice"),
        ("1,-1,2,3,4,5,1\n1,-1,9,3,4,5,1\n", "two faces of one identity in frame 0"),
        ("1," + "2" * 200_000 + "\n", "not a MOT file"),
    ],
)
def test_foreign_and_broken_files(tmp_path: Path, content: str | bytes, reason: str) -> None:
    assert re.search(reason, refusal(tmp_path, content))


def test_a_mot_file_may_be_as_editors_and_libraries_write_it(tmp_path: Path) -> None:
    """A byte order mark, blank lines, other separators, whole numbers with a point."""
    text = "\ufeff1,4,10,20,30,40,1\n\n2; 4; 10; 20; 30; 40\n  \n3.0 4.00e+00 10\t20 30 40 1 -1,\n"
    assert as_lines(read(tmp_path, text)) == [(f, 4, [10, 20, 40, 60]) for f in range(3)]
    assert read(tmp_path, "\n\n") == {}


def test_a_pipe_is_no_file_of_detections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gt.txt").write_text("1,1,2,3,4,5,1\n")
    os.mkfifo(tmp_path / "det.txt")
    given = ["--detections", str(tmp_path / "det.txt"), "--gt", str(tmp_path / "gt.txt")]
    assert main(given) == 2
    assert "not a regular file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "arguments", "reason"),
    [
        ("9000000,1,2,3,4,5,1", [], "goes on to frame 8999999"),
        ("1,1,700,3,4,5,1", ["--size", "640x480"], "outside of the video's picture of 640x480"),
    ],
)
def test_truth_that_trackers_alone_cannot_be_run_on(
    line: str,
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "gt.txt").write_text(f"1,1,2,3,4,5,1\n{line.replace(',1,', ',2,', 1)}\n")
    (tmp_path / "det.txt").write_text("1,-1,2,3,4,5,0.9\n")
    given = ["--detections", str(tmp_path / "det.txt"), "--gt", str(tmp_path / "gt.txt")]
    assert main([*given, *arguments]) == 2
    assert reason in capsys.readouterr().err


def laughs(levels: int) -> str:
    entities = "".join(
        f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' if n else '<!ENTITY e0 "ha">'
        for n in range(levels)
    )
    return f"<!DOCTYPE annotations [{entities}]>" + XML.replace(
        'label="face"', f'label="&e{levels - 1};"'
    )


@pytest.mark.parametrize(
    "content",
    [
        laughs(1),
        laughs(10),
        f'<!DOCTYPE a [<!ENTITY x "{"x" * 10**6}">]><annotations>{"&x;" * 1000}</annotations>',
        '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><annotations>&f;</annotations>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">' + XML,
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>' + XML,
        f"<!DOCTYPE {'x' * 10_000}>" + XML,
    ],
)
def test_entities_are_never_made(tmp_path: Path, content: str) -> None:
    """Refused at the declaration, so it costs neither time nor memory, and nothing is fetched."""
    tracemalloc.start()
    begin = time.process_time()
    assert "DTDForbidden" in refusal(tmp_path, content)
    assert time.process_time() - begin < 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_deep_nesting_is_refused_or_read(tmp_path: Path) -> None:
    depth = 100_000
    assert "no element found" in refusal(tmp_path, "<annotations>" + "<a>" * depth)
    nested = "<a>" * depth + "</a>" * depth
    assert read(tmp_path, f"<annotations>{nested}</annotations>") == {}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Whatever is cut out or put in: an answer or InvalidInput, never another error."""
    whole = document(track(0, box(0), box(6, outside=1)), track(1, box(2)))
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, min(len(whole), begin + 30)))
    piece = data.draw(st.text(max_size=5) | st.sampled_from(["<", "&", "]]>", "<!--", '"', "1e9"]))
    path = tmp_path_factory.getbasetemp() / "damaged.xml"
    path.write_text(whole[:begin] + piece + whole[end:], "utf-8")
    with suppress(InvalidInput):
        read_ground_truth(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing\x1b[31m", tmp_path, tmp_path / "pipe"):
        with pytest.raises(InvalidInput, match="cannot be read") as caught:
            read_ground_truth(path)
        assert caught.value.detail.isprintable()


def test_a_large_file_is_read_a_track_at_a_time(tmp_path: Path) -> None:
    """What is held are the numbers of its boxes, not its text."""
    path = tmp_path / "gt.xml"
    path.write_text(document(*(track(n, *(box(f) for f in range(100))) for n in range(100))))
    tracemalloc.start()
    counted = read_ground_truth(path).faces
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(len(rows) for rows in counted.values()) == 10_000
    assert peak < 6e6


# --- the command line -------------------------------------------------------------------------


def test_the_command_line_takes_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two faces that stay are found whole, whichever file says that they do."""
    boxes = [[box(f, x) for f in range(20)] for x in (10.0, 200.0)]
    (tmp_path / "gt.xml").write_text(document(*(track(n, *b) for n, b in enumerate(boxes))))
    lines = [f"{f + 1},{n},{x},20,30,40,1" for f in range(20) for n, x in ((1, 10), (2, 200))]
    (tmp_path / "gt.txt").write_text("\n".join(lines))
    (tmp_path / "det.txt").write_text("\n".join(lines))
    printed = []
    for name in ("gt.xml", "gt.txt"):
        arguments = ["--detections", str(tmp_path / "det.txt"), "--gt", str(tmp_path / name)]
        assert main([*arguments, "--strides", "2", "--size", "320x180"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert re.search(r"product\s+│\s+1\.000", printed[0])
    (tmp_path / "gt.xml").write_text(laughs(10))
    assert main(["--detections", str(tmp_path / "det.txt"), "--gt", str(tmp_path / "gt.xml")]) == 2
    assert "CVAT for video 1.1" in capsys.readouterr().err
