"""What is measured where the command line leaves it open, and the variants that it can name."""

from __future__ import annotations

QUICK_FRAMES, FULL_FRAMES = 1000, 4200
QUICK_STRIDE = 6

# A variant of the product: what it is called, and the options that make it. A new one is one line.
VARIANTS: dict[str, tuple[str, ...]] = {
    "people": ("--people",),
    "int8": ("--precision", "int8"),
    "yunet": ("--detector", "yunet"),
    "cascade": ("--detector", "cascade"),
    "cascade-int8": ("--detector", "cascade", "--precision", "int8"),
    "openvino": ("--device", "openvino"),
    "openvino-int8": ("--device", "openvino", "--precision", "int8"),
}
