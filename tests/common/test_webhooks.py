"""Webhooks: what an operator may set, whom that reaches, and how they are signed."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from apps.common.errors import InvalidInput
from apps.common.webhooks import AllowedHosts, WebhookSettings, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
URL = "https://hooks.example.org/T0/token"


def read(**given: str) -> WebhookSettings:
    settings = {"webhook_hosts": "hooks.example.org", "webhook_secret": SECRET, "webhook_url": URL}
    return WebhookSettings.read(**(settings | given))


def test_off_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCREENALYTICS_WEBHOOK_URL", raising=False)
    assert WebhookSettings().destinations == ()
    assert read(webhook_url="  ").destinations == ()


def test_nothing_secret_is_shown() -> None:
    settings = read()
    (destination,) = settings.destinations
    assert destination.shown == "https://hooks.example.org"
    for text in (repr(settings), str(settings), repr(destination), settings.model_dump_json()):
        assert SECRET not in text
        assert "token" not in text


def test_several_urls_each_once() -> None:
    found = read(webhook_url=f"{URL} {URL}/2 {URL}").destinations
    assert [destination.url for destination in found] == [URL, f"{URL}/2"]
    assert len({destination.name for destination in found}) == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"webhook_hosts": ""}, "'hooks.example.org' is not in SCREENALYTICS_WEBHOOK_HOSTS"),
        ({"webhook_hosts": "example.org"}, "is not in SCREENALYTICS_WEBHOOK_HOSTS"),
        ({"webhook_hosts": "*"}, "'*' is no host"),
        ({"webhook_hosts": "hooks.example.org/x"}, "is no host"),
        ({"webhook_secret": ""}, "set SCREENALYTICS_WEBHOOK_SECRET as well"),
        ({"webhook_secret": "secret"}, "whsec_ and 24 to 64 bytes"),
        ({"webhook_secret": "whsec_c2hvcnQ="}, "whsec_ and 24 to 64 bytes"),
        ({"webhook_secret": SECRET.removeprefix("whsec_")}, "whsec_ and 24 to 64 bytes"),
        ({"webhook_url": "ftp://hooks.example.org/token"}, "no URL like"),
        ({"webhook_url": "hooks.example.org/token"}, "no URL like"),
        ({"webhook_url": "https://hooks.example.org:x/token"}, "no URL like"),
        ({"webhook_url": "https://hooks.example.org.evil.test/token"}, "is not in"),
        ({"webhook_url": "https://me:token@hooks.example.org/"}, "no user"),
        ({"webhook_url": "https://hooks.example.org@evil.test/token"}, "no user"),
        ({"webhook_url": "http://127.0.0.1/token"}, "'127.0.0.1' is not in"),
        ({"webhook_url": f"{URL} http://[::1]/token"}, "'::1' is not in"),
        ({"end_command": "notify 'token"}, "cannot be split into words"),
    ],
)
def test_what_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(**given)
    assert says in refused.value.message
    assert "token" not in refused.value.message
    assert SECRET not in refused.value.message


@pytest.mark.parametrize(
    ("hosts", "host", "address", "may"),
    [
        ("hooks.example.org", "hooks.example.org", "93.184.216.34", True),
        ("hooks.example.org", "hooks.example.org", "2606:2800:220:1::1", True),
        ("hooks.example.org", "other.example.org", "93.184.216.34", False),
        ("hooks.example.org", "hooks.example.org", "127.0.0.1", False),
        ("hooks.example.org", "hooks.example.org", "10.1.2.3", False),
        ("hooks.example.org", "hooks.example.org", "169.254.169.254", False),
        ("hooks.example.org", "hooks.example.org", "100.64.0.1", False),
        ("hooks.example.org", "hooks.example.org", "224.0.0.1", False),
        ("hooks.example.org", "hooks.example.org", "0.0.0.0", False),
        ("hooks.example.org", "hooks.example.org", "::1", False),
        ("hooks.example.org", "hooks.example.org", "fd00::1", False),
        ("hooks.example.org", "hooks.example.org", "::ffff:10.1.2.3", False),
        ("receiver,10.1.0.0/16", "receiver", "10.1.2.3", True),
        ("receiver,10.1.0.0/16", "receiver", "10.2.2.3", False),
        ("receiver,10.1.0.0/16", "receiver", "::ffff:10.1.2.3", True),
        ("10.1.0.0/16", "receiver", "10.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", "10.1.2.3", True),
        ("[fd00::1]", "fd00::1", "fd00::1", True),
        ("localhost", "localhost", "127.0.0.1", True),
        ("localhost", "localhost", "10.1.2.3", False),
    ],
)
def test_which_addresses_are_reached(hosts: str, host: str, address: str, may: bool) -> None:
    assert AllowedHosts.parse(hosts).may_reach(host, ipaddress.ip_address(address)) is may


def test_the_signature_of_the_specification() -> None:
    """The example that its libraries are tested with."""
    body = b'{"test": 2432232314}'
    keys = read(webhook_secret=f"{SECRET} {OTHER}").keys
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, keys)
    first, second = headers["webhook-signature"].split(" ")
    assert first == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert second.startswith("v1,")
    assert second != first
    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"
