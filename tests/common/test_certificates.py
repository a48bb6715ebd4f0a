from __future__ import annotations

import ast
import ssl
from pathlib import Path

from apps.common.certificates import certificates
from lab.paths import CHECKOUT

CLIENTS = {"Client", "AsyncClient", "get", "post", "stream"}


def test_they_are_loaded_once_and_servers_are_checked_by_them() -> None:
    assert certificates() is certificates()
    assert certificates().verify_mode is ssl.CERT_REQUIRED
    assert certificates().check_hostname
    assert certificates().cert_store_stats()["x509_ca"] > 50


def test_every_client_of_the_product_shares_them() -> None:
    """One that does not loads them again, for each picture that the page shows, say."""
    found = [call for path in (CHECKOUT / "apps").rglob("*.py") for call in _clients(path)]
    assert len(found) > 5
    assert [where for where, verify in found if verify != "certificates()"] == []


def _clients(path: Path) -> list[tuple[str, str]]:
    """Where a client is made, and by which certificates it goes."""
    return [
        (
            f"{path}:{node.lineno}",
            next((ast.unparse(k.value) for k in node.keywords if k.arg == "verify"), ""),
        )
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "httpx"
        and node.func.attr in CLIENTS
    ]
