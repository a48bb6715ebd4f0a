"""Dependencies of the routes, as words."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from apps.api.services import Services


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
