"""The product's connections with other limits: soon over, or never reached."""

from typing import Any

from apps.web.connections import Connection


class Impatient(Connection):
    headers_seconds = 1.0
    body_seconds = 1.0


class Patient(Connection):
    headers_seconds = 3600.0


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application of WebSockets: it says again what it is told."""
    while scope["type"] == "websocket":
        event = await receive()
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif event["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})
        else:
            return
