"""Cut-out people for generated episodes, and places for them to be in.

All come from photos that installed packages bring along. Every person also exists turned left to
right, as somebody else: seven photos make fourteen people. The back of a head has no face.
"""

from __future__ import annotations

import math
from dataclasses import replace

from apps.demo.scene import ASTRONAUT, GROUP, ROCKET, Box, Face, Photo

Outline = tuple[tuple[int, int], ...]

# Drawn by hand around hair and shoulders, a little inside, in pixels of the group photo; in the
# order of `GROUP.faces`.
# fmt: off
_OUTLINES: tuple[Outline, ...] = (
    (
        (26, 420), (20, 340), (30, 290), (55, 250), (90, 235), (126, 243), (153, 272), (173, 315),
        (186, 370), (186, 386), (160, 398), (127, 418), (133, 450), (148, 485), (185, 492),
        (205, 505), (218, 570), (16, 570), (20, 520), (2, 500), (2, 436),
    ),
    (
        (268, 165), (272, 140), (295, 114), (335, 105), (380, 115), (412, 130), (398, 145),
        (394, 170), (404, 200), (408, 226), (450, 238), (468, 262), (462, 325), (420, 352),
        (372, 365), (345, 385), (325, 355), (295, 330), (272, 305), (300, 285), (326, 264),
        (308, 256), (292, 242), (282, 215), (272, 190),
    ),
    (
        (467, 290), (470, 258), (488, 232), (520, 222), (560, 224), (592, 242), (605, 270),
        (602, 305), (592, 328), (580, 352), (568, 385), (552, 415), (570, 440), (584, 480),
        (590, 560), (352, 560), (342, 500), (350, 450), (378, 412), (424, 376), (456, 352),
        (468, 362), (472, 330),
    ),
    (
        (748, 335), (754, 316), (780, 298), (820, 293), (856, 308), (873, 340), (868, 372),
        (872, 396), (902, 402), (910, 470), (908, 518), (790, 490), (730, 482), (690, 520),
        (650, 545), (660, 510), (690, 460), (740, 428), (753, 424), (750, 390), (750, 360),
    ),
    (
        (884, 48), (910, 27), (950, 6), (1000, 6), (1033, 25), (1053, 70), (1056, 110),
        (1052, 134), (1110, 142), (1168, 158), (1190, 190), (1165, 228), (1128, 240), (1112, 300),
        (1112, 400), (965, 400), (925, 330), (888, 330), (882, 270), (892, 222), (925, 198),
        (944, 190), (930, 165), (918, 130), (908, 90),
    ),
    (
        (1128, 300), (1140, 265), (1165, 245), (1195, 238), (1230, 252), (1253, 290), (1263, 350),
        (1257, 415), (1238, 430), (1244, 452), (1276, 472), (1278, 560), (1088, 560), (1086, 500),
        (1098, 440), (1128, 428), (1124, 380),
    ),
)
# fmt: on


def mirrored(photo: Photo) -> Photo:
    """Return the photo turned left to right; its people have names of their own."""
    width = photo.size[0]
    faces = tuple(
        Face(
            f"{face.person}-mirrored",
            Box(width - face.box.x2, face.box.y1, width - face.box.x1, face.box.y2),
        )
        for face in photo.faces
    )
    # Corners are pixels, which turn around the middle of the first and the last one.
    outline = tuple((width - 1 - x, y) for x, y in photo.outline)
    return replace(photo, faces=faces, outline=outline, is_mirrored=not photo.is_mirrored)


_GROUP_CUT = tuple(
    replace(GROUP, faces=(face,), outline=outline)
    for face, outline in zip(GROUP.faces, _OUTLINES, strict=True)
)
_ORIGINALS = (ASTRONAUT, *_GROUP_CUT)

PEOPLE: tuple[Photo, ...] = _ORIGINALS + tuple(mirrored(person) for person in _ORIGINALS)
"""Fourteen photos with one face and the outline of its person each."""

GARAGE = Photo(package="skimage", file="data/motorcycle_left.png", size=(741, 500))
STARS = Photo(package="skimage", file="data/hubble_deep_field.jpg", size=(1000, 872))
COFFEE = Photo(package="skimage", file="data/coffee.png", size=(600, 400))
BRICKS = Photo(package="skimage", file="data/brick.png", size=(512, 512))
LAWN = Photo(package="skimage", file="data/grass.png", size=(512, 512))

PLACES: tuple[Photo, ...] = (GARAGE, ROCKET, COFFEE, BRICKS, LAWN, STARS)
"""Photos without a face."""


def _ellipse(x: float, y: float, half_width: float, half_height: float) -> Outline:
    """Return the corners of an ellipse, in whole pixels."""
    turns = (2.0 * math.pi * corner / 24 for corner in range(24))
    return tuple(
        (round(x + half_width * math.cos(turn)), round(y + half_height * math.sin(turn)))
        for turn in turns
    )


BACK_OF_HEAD = replace(COFFEE, outline=_ellipse(540, 295, 52, 72))
"""Hair and no face: brown wood, as the table in the photo is."""
