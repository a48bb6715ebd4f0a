"""One set of addresses of Redis for every program, as redis-py and as kombu read them."""

from __future__ import annotations

import ssl

import pytest
from kombu import Connection
from pydantic import ValidationError
from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from apps.common.redis_url import RedisUrl
from apps.common.settings import Settings


@pytest.mark.parametrize(
    ("url", "host", "port", "database", "user", "password"),
    [
        ("redis://127.0.0.1:6379/0", "127.0.0.1", 6379, 0, None, None),
        ("redis://", "127.0.0.1", 6379, 0, None, None),
        ("redis://host", "host", 6379, 0, None, None),
        ("redis://host/3", "host", 6379, 3, None, None),
        ("redis://:p%40s%2Fs@[::1]:7/2", "::1", 7, 2, None, "p@s/s"),
        ("redis://user:secret@host:7/2", "host", 7, 2, "user", "secret"),
        ("rediss://user:secret@host:7/2", "host", 7, 2, "user", "secret"),
    ],
)
def test_both_libraries_reach_the_same_server(
    url: str, host: str, port: int, database: int, user: str | None, password: str | None
) -> None:
    address = RedisUrl.parse(url)
    client, broker = parse_url(address.for_client), Connection(address.for_broker)
    assert (client["host"], client["port"], client["db"]) == (host, port, database)
    assert (client.get("username") or None, client.get("password")) == (user, password)
    assert (broker.hostname, broker.port, int(broker.virtual_host)) == (host, port, database)
    assert (broker.userid or None, broker.password) == (user, password)
    assert "secret" not in address.shown


@pytest.mark.parametrize("password", ["", ":p%2Fw@"])
def test_a_socket(password: str) -> None:
    address = RedisUrl.parse(f"unix://{password}/run/my%20redis/redis.sock?db=4")
    client = parse_url(address.for_client)
    assert client["connection_class"] is UnixDomainSocketConnection
    assert (client["path"], client["db"]) == ("/run/my redis/redis.sock", 4)
    channel = Connection(address.for_broker).transport_options  # of no server: only its parameters
    assert channel == {}
    assert (
        address.for_broker == f"redis+socket://{password}/run/my%20redis/redis.sock?virtual_host=4"
    )
    assert address.shown == "unix:///run/my redis/redis.sock?db=4"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ssl.CERT_REQUIRED),
        ("?ssl_cert_reqs=CERT_REQUIRED", ssl.CERT_REQUIRED),
        ("?ssl_cert_reqs=optional", ssl.CERT_OPTIONAL),
        ("?ssl_cert_reqs=CERT_NONE", ssl.CERT_NONE),
        ("?ssl_ca_certs=/etc/ca.pem", ssl.CERT_REQUIRED),
    ],
)
def test_both_libraries_check_the_certificate_alike(query: str, wanted: ssl.VerifyMode) -> None:
    address = RedisUrl.parse(f"rediss://host:7/0{query}")
    settings = parse_url(address.for_client)
    connection = settings.pop("connection_class")
    assert connection is SSLConnection
    made = connection(**settings)
    broker = Connection(address.for_broker)
    assert made.cert_reqs == broker.ssl["ssl_cert_reqs"] == wanted
    assert made.ca_certs == broker.ssl.get("ssl_ca_certs")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "begins with 'nothing'"),
        ("127.0.0.1:6379", "begins with"),
        ("http://:secret@host/", "begins with 'http'"),
        ("redis+socket:///run/redis.sock", "begins with 'redis+socket'"),
        ("redis://host:port/0", "is not a URL"),
        ("redis://:secret@host/zero", "names a database that is no number"),
        ("redis://host/-1", "names a database that is no number"),
        ("redis://host/0?socket_timeout=5", "has 'socket_timeout' behind its '?'"),
        ("redis://host/0?ssl_cert_reqs=none", "has 'ssl_cert_reqs' behind its '?'"),
        ("rediss://host/0?ssl_cert_reqs=some", "wrong ssl_cert_reqs"),
        ("unix://run/redis.sock", "names no socket by its whole path"),
        ("unix:///", "names no socket by its whole path"),
        ("unix:///run/redis.sock?db=one", "names a database that is no number"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(url: str, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(redis_url=url)
    assert expected in str(caught.value)
    assert "secret" not in str(caught.value)
