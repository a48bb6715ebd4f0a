"""By which names a server may be asked, and whose pages may change what it holds.

Loopback is reachable from every web page that is open on this machine: a page may send forms there
without being asked, and with a name of its own that leads to 127.0.0.1 (DNS rebinding) it may read
the answers as well. The browser names both, page and server, and cannot be made to lie.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

EVERY = "*"
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
_OWN_SITES = ("same-origin", "none")  # none: typed, or from a bookmark


@dataclass(frozen=True)
class KnownHosts:
    """The names of loopback, and those that the owner of the server allows.

    Args:
        allowed: names in lower case, without ports; `*` stands for every name.
    """

    allowed: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> KnownHosts:
        """From a list with commas.

        Raises:
            ValueError: an entry is no name of a host.
        """
        entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
        for entry in entries:
            if entry != EVERY and _name_of(entry) != entry:
                raise ValueError(f"{entry!r} is no name of a host; for example: faces.example.org")
        return cls(frozenset(entries))

    def has(self, host: str) -> bool:
        """Whether the server may be asked by this name.

        Args:
            host: as in the header `Host`, with or without a port.
        """
        name = _name_of(host)
        return name is not None and (
            EVERY in self.allowed or name in self.allowed or _is_loopback(name)
        )

    def trusts(self, origin: str | None, site: str | None, scheme: str, host: str) -> bool:
        """Whether a request that changes something comes from the server's own pages.

        Programs send neither of the first two, and are trusted.

        Args:
            origin: the header `Origin`. Its own names are the request's host, and any that is
                allowed by name: a proxy may have changed the host.
            site: the header `Sec-Fetch-Site`.
            scheme: `http` or `https`, as the request arrived. With `http`, pages of `https` are
                trusted too: a proxy may have ended TLS.
            host: the header `Host`.
        """
        if site is not None and site not in _OWN_SITES:
            return False
        if origin is None:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        own = parts.netloc.lower() == host.lower() or _name_of(parts.netloc) in self.allowed
        return own and parts.scheme in (scheme, "https")


def _name_of(host: str) -> str | None:
    """The name without its port, in lower case; None where it is none."""
    found = _HOST.fullmatch(host)
    return None if found is None else found["name"].lower().removesuffix(".")


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
