"""The product's connections with other limits: soon over, or never reached."""

from apps.web.connections import Connection


class Impatient(Connection):
    headers_seconds = 1.0
    body_seconds = 1.0


class Patient(Connection):
    headers_seconds = 3600.0
