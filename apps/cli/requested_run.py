"""The run that the command line's arguments ask for."""

from __future__ import annotations

import argparse
import os

from pydantic import ValidationError

from apps.common.errors import InvalidInput
from apps.common.layout import Layout
from apps.common.names import check_name, check_run_id
from apps.common.option_flags import flag, given
from apps.common.options import RunRequest
from apps.common.resolve import HostFacts, resolve
from apps.common.settings import Settings
from apps.pipeline.inference.providers import usable_providers
from apps.runs.spec import RunSpec


def spec_of(arguments: argparse.Namespace) -> RunSpec:
    """Settles all options, here and now.

    Args:
        arguments: as `apps.cli.arguments` parses them.

    Raises:
        InvalidInput: one of them, or a setting, is wrong; the message names it.
    """
    settings = _settings(arguments)
    ep_id = check_name(arguments.ep_id)
    run_id = None if arguments.run_id is None else check_run_id(arguments.run_id)
    try:
        request = RunRequest(**given(arguments))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = flag(str(first["loc"][0]))
        raise InvalidInput(
            f"{option} {first['input']}: {first['msg']}.", hint=f"See --help for {option}."
        ) from None
    return RunSpec.of(
        ep_id,
        run_id,
        resolve(request, os.environ, _host(settings)),
        settings,
        mode="cli",
        data_root=settings.data_root,
        nice=arguments.nice,
    )


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings.read(
        data_root=arguments.data_root,
        detector_model=arguments.detector_model,
        retinaface_model=arguments.retinaface_model,
        recognition_model=arguments.recognition_model,
    )


def _host(settings: Settings) -> HostFacts:
    cache = Layout(settings.data_root).cache
    return HostFacts.here(usable_providers(), settings.given_weights, cache)
