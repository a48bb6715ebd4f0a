"""Certificates that clients trust, loaded once: 40 ms of CPU, also where no TLS is used."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def certificates() -> ssl.SSLContext:
    """Those that httpx brings along, whatever the environment names; shared by all clients."""
    return httpx.create_ssl_context(trust_env=False)
