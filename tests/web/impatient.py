"""The product's connections with shorter limits, so that tests need not wait a minute."""

from apps.web.connections import Connection


class Impatient(Connection):
    headers_seconds = 1.0
    body_seconds = 1.0
