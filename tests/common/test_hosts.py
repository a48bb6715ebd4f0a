"""By which names a server may be asked, and who may change what it holds."""

from __future__ import annotations

import pytest

from apps.common.hosts import KnownHosts

HERE = "127.0.0.1:8501"


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1", "127.0.0.1:8000", "127.8.9.10",
        "[::1]", "[::1]:8000",
    ],
)  # fmt: skip
def test_names_of_loopback_are_known(host: str) -> None:
    assert KnownHosts().has(host)


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
        "127.0.0.1@evil.example", "evil.example#localhost", "0.0.0.0:8000", "192.168.1.5", "[::2]",
        "localhost:8000:8000", "localhost:port", "local host", "[::1", "localhost/", "1.27.0.0.1",
        "[not an address]", "localhost\\", "löcalhost",
    ],
)  # fmt: skip
def test_other_names_are_not(host: str) -> None:
    assert not KnownHosts().has(host)
    assert not KnownHosts.parse("faces.example, api").has(host)


def test_allowed_names_are_known_at_any_port() -> None:
    hosts = KnownHosts.parse(" Faces.example,api ,,[fd00::5]")
    for host in (
        "faces.example",
        "FACES.example:8443",
        "faces.example.",
        "api:8000",
        "[fd00::5]:1",
    ):
        assert hosts.has(host)
    assert hosts.has("localhost")
    assert not hosts.has("other.faces.example")
    everybody = KnownHosts.parse("*")
    assert everybody.has("evil.example:80")
    assert not everybody.has("no host")


@pytest.mark.parametrize(
    "entry", ["https://faces.example", "faces.example:8000", "a b", "*.x", "/"]
)
def test_what_is_no_name_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="no name of a host"):
        KnownHosts.parse(f"api,{entry}")


@pytest.mark.parametrize(
    ("origin", "site", "trusted"),
    [
        (None, None, True),  # a program
        (f"http://{HERE}", None, True),  # a browser that does not tell the site
        (f"http://{HERE}", "same-origin", True),
        (None, "none", True),
        (f"https://{HERE}", "same-origin", True),  # before a proxy that speaks TLS
        ("http://127.0.0.1:8502", "same-site", False),  # another server of this machine
        ("http://127.0.0.1:8502", None, False),
        ("http://localhost:8501", None, False),
        ("http://evil.example", "cross-site", False),
        ("http://evil.example", None, False),
        (None, "cross-site", False),
        (f"http://{HERE}", "cross-site", False),
        ("null", None, False),
        ("", None, False),
        (f"http://{HERE}.evil.example", None, False),
        (f"http://{HERE}@evil.example", None, False),
        (f"ftp://{HERE}", None, False),
        ("http://[", None, False),
    ],
)
def test_own_pages_and_programs_are_trusted(
    origin: str | None, site: str | None, trusted: bool
) -> None:
    assert KnownHosts().trusts(origin, site, "http", HERE) is trusted


def test_the_page_without_tls_is_not_that_with_it() -> None:
    assert not KnownHosts().trusts(f"http://{HERE}", None, "https", HERE)


def test_a_proxy_may_change_the_host_of_an_allowed_name() -> None:
    assert KnownHosts.parse("faces.example").trusts("https://faces.example", None, "http", HERE)
    assert not KnownHosts.parse("*").trusts("https://faces.example", None, "http", HERE)
