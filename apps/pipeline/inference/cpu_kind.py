"""Which kind of CPU this is: optimised graphs and 8-bit arithmetic depend on it."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class CpuKind:
    """What kind of CPU this is.

    Args:
        machine: as `uname -m` says, e.g. "x86_64", "arm64".
        model: the maker's name of it; may be empty.
        flags: instruction sets as Linux names them; empty where there is no `/proc/cpuinfo`.
    """

    machine: str
    model: str
    flags: frozenset[str]

    @property
    def digest(self) -> str:
        """Ten hexadecimal digits, the same for CPUs that may share what was made for one of them.

        A data root may be shared by hosts, and ONNX Runtime lays weights out for the vector
        width of the CPU that it runs on.
        """
        words = " ".join((self.machine, self.model, *sorted(self.flags)))
        return hashlib.sha256(words.encode()).hexdigest()[:10]


@cache
def cpu_kind() -> CpuKind:
    """Of this host."""
    facts: dict[str, str] = {}
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())  # the first processor's; the others are alike
    flags = facts.get("flags", facts.get("Features", ""))
    # Only where it is needed: platform asks another program.
    model = facts.get("model name") or platform.processor()
    return CpuKind(platform.machine(), model, frozenset(flags.split()))
