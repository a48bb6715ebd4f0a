"""Webhooks: who is told when a run or a batch ends, and how that is signed.

Headers and signature are those of the Standard Webhooks specification, 1.0.0
(https://github.com/standard-webhooks/standard-webhooks).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator

from apps.common.contracts.manifest import ExecutionMode
from apps.common.environment import EnvironmentSettings

_SECRET_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)  # as the specification has it
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?")
_LOOPBACK_NAME = "localhost"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
EventType = Literal["run.ended", "batch.ended"]
EndStatus = Literal["completed", "failed", "cancelled"]


class RunEnded(BaseModel):
    """`data` of `run.ended`."""

    ep_id: str
    run_id: str
    job_id: str | None = Field(None, description="Of a queued run.")
    batch_id: str | None = Field(None, description="Of a run that a batch has queued.")
    execution_mode: ExecutionMode
    status: EndStatus
    elapsed_seconds: float | None = Field(None, description="Of a run that has completed.")
    problem: dict[str, str] | None = Field(None, description="`type` and `detail`; else null.")
    links: dict[str, str] = Field(description="Paths of the API: `run`, `job`, `batch`.")


class BatchEnded(BaseModel):
    """`data` of `batch.ended`."""

    batch_id: str
    status: EndStatus
    elapsed_seconds: float = Field(description="Since the batch was asked for.")
    total: int
    counts: dict[str, int] = Field(description="Episodes by state, as of the batch itself.")
    links: dict[str, str] = Field(description="Paths of the API: `batch`.")


class WebhookEvent(BaseModel):
    """The body of a webhook."""

    type: EventType
    id: str = Field(description="The header `webhook-id`: the same each time it is sent.")
    timestamp: str = Field(description="When it ended.")
    data: RunEnded | BatchEnded


@dataclass(frozen=True)
class AllowedHosts:
    """The hosts that may be told anything.

    Args:
        names: in lower case.
        networks: of addresses that are named, private ones too.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AllowedHosts:
        """From a list with commas.

        Raises:
            ValueError: an entry is neither a name, nor an address, nor a network.
        """
        names, networks = set(), []
        for entry in (part.strip().lower() for part in text.split(",")):
            try:
                if entry:
                    networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                if _NAME.fullmatch(entry) is None:
                    raise ValueError(
                        f"{entry[:60]!r} is no host; for example: hooks.example.org,10.1.0.0/16"
                    ) from None
                names.add(entry)
        return cls(frozenset(names), tuple(networks))

    def has(self, host: str) -> bool:
        """Whether a URL may have this host, a name or an address."""
        try:
            return self.is_named(ipaddress.ip_address(host))
        except ValueError:
            return host in self.names

    def is_named(self, address: Address) -> bool:
        return any(address in network for network in self.networks)

    def may_reach(self, host: str, address: Address) -> bool:
        """Whether a host may be reached at the address that its name leads to.

        A name may lead anywhere, so addresses that are not public have to be named themselves.
        """
        mapped = getattr(address, "ipv4_mapped", None)
        address = address if mapped is None else mapped
        if not self.has(host):
            return False
        if self.is_named(address) or (host == _LOOPBACK_NAME and address.is_loopback):
            return True
        return address.is_global and not address.is_multicast


@dataclass(frozen=True)
class Destination:
    """A URL that is told.

    Args:
        url: whole; it may hold a secret, so it is never shown.
        name: stands for it where it is stored or told.
        shown: scheme and host.
    """

    url: str = field(repr=False)
    name: str
    shown: str

    @classmethod
    def parse(cls, url: str, allowed: AllowedHosts) -> Destination:
        """Reads one.

        Raises:
            ValueError: it is no URL, or none that may be told; says why, without the URL.
        """
        parts = _split(url)
        host = (parts.hostname or "").lower()
        if not allowed.has(host):
            raise ValueError(
                f"its host {host[:60]!r} is not in SCREENALYTICS_WEBHOOK_HOSTS; name it there"
            )
        port = "" if parts.port is None else f":{parts.port}"
        digest = hashlib.sha256(url.encode()).hexdigest()[:12]
        return cls(url, digest, f"{parts.scheme}://{host}{port}")


class WebhookSettings(EnvironmentSettings):
    """Read by the API alone: no worker needs the secret, or a way out."""

    webhook_hosts: str = Field(
        "",
        description="Hosts that webhooks may be sent to, with commas: names, addresses, networks. "
        "Addresses that are not public are reached only where they are named here as well.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="Signs webhooks: `whsec_` and 24 to 64 bytes in base64. Two with a space while "
        "they change: both sign.",
    )
    webhook_url: SecretStr | None = Field(
        None,
        description="Where it is told that a run or a batch has ended, several with spaces; off "
        "without.",
    )

    end_command: str = Field(
        "",
        description="A program with its arguments, without a shell, that the API starts when a run "
        "or a batch has ended; it reads the event from its standard input, within 60 seconds.",
    )

    @field_validator("end_command")
    @classmethod
    def _is_command(cls, value: str) -> str:
        try:
            shlex.split(value)
        except ValueError as error:
            raise ValueError(f"it cannot be split into words: {error}") from None
        return value

    @field_validator("webhook_hosts")
    @classmethod
    def _are_hosts(cls, value: str) -> str:
        AllowedHosts.parse(value)
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _is_secret(cls, value: SecretStr | None) -> SecretStr | None:
        _keys(value)
        return value

    @field_validator("webhook_url")
    @classmethod
    def _may_be_told(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        allowed = AllowedHosts.parse(info.data.get("webhook_hosts", ""))
        if _destinations(value, allowed) and not _keys(info.data.get("webhook_secret")):
            raise ValueError("webhooks are signed; set SCREENALYTICS_WEBHOOK_SECRET as well")
        return value

    @property
    def command(self) -> tuple[str, ...]:
        return tuple(shlex.split(self.end_command))

    @property
    def allowed(self) -> AllowedHosts:
        return AllowedHosts.parse(self.webhook_hosts)

    @property
    def destinations(self) -> tuple[Destination, ...]:
        return _destinations(self.webhook_url, self.allowed)

    @property
    def keys(self) -> tuple[bytes, ...]:
        return _keys(self.webhook_secret)


def signed_headers(
    event_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """The three headers of a webhook.

    Args:
        timestamp: of this sending, seconds since 1970.
        keys: a signature is made with each.
    """
    content = b".".join([event_id.encode(), str(timestamp).encode(), body])
    digests = [hmac.new(key, content, hashlib.sha256).digest() for key in keys]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(d).decode()}" for d in digests),
    }


def _destinations(value: SecretStr | None, allowed: AllowedHosts) -> tuple[Destination, ...]:
    urls = [] if value is None else value.get_secret_value().split()
    return tuple(Destination.parse(url, allowed) for url in dict.fromkeys(urls))


def _keys(value: SecretStr | None) -> tuple[bytes, ...]:
    return tuple(map(_key, [] if value is None else value.get_secret_value().split()))


def _key(secret: str) -> bytes:
    wrong = ValueError(
        "it must be whsec_ and 24 to 64 bytes in base64, as of: "
        'echo "whsec_$(openssl rand -base64 32)"'
    )
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise wrong from None
    if not secret.startswith(_SECRET_PREFIX) or len(key) not in _KEY_BYTES:
        raise wrong
    return key


def _split(url: str) -> SplitResult:
    wrong = ValueError("one of its words is no URL like https://hooks.example.org/path")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii():
        raise wrong
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("a URL must have no user, no password and no '#'")
    return parts
