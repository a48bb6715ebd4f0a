"""What a run can be asked for on this host, and what a request would come to."""

from __future__ import annotations

import os
import socket

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from apps.api.deps import ServicesDep
from apps.common.config import model_registry, run_defaults
from apps.common.contracts.manifest import VideoFacts
from apps.common.layout import Layout
from apps.common.options import (
    PROVIDER_OF_DEVICE,
    Options,
    effective_stride,
    sampled_count,
    stride_warning,
)
from apps.common.resolve import switches, with_warning
from apps.common.schemas import (
    DetectorOffer,
    DeviceOffer,
    PlanRequest,
    ProfileOffer,
    ResolvedPlan,
    RunOptionsOffer,
)
from apps.results.estimate import Estimate, estimate, past_run, planned_work
from apps.runs.episodes import find_videos, is_elsewhere, several_videos_warning
from apps.runs.prepare import resolve_here
from apps.runs.store import newest_of_episodes, newest_runs

router = APIRouter(prefix="/options", tags=["options"])

_OWN_RUNS = 20  # manifests that are read for an estimate: of the episode itself,
_OTHER_EPISODES = 50  # and of others


@router.get("")
async def offer(services: ServicesDep) -> RunOptionsOffer:
    """Profiles, devices and detectors, and which of them are here."""
    host = await services.host.facts()
    return RunOptionsOffer(
        profiles=[
            ProfileOffer(name=name, **profile.model_dump())
            for name, profile in run_defaults().profiles.items()
        ],
        devices=[
            DeviceOffer(
                name=device,
                provider=provider,
                available=device == "cpu" or provider in host.providers,
            )
            for device, provider in PROVIDER_OF_DEVICE.items()
        ],
        detectors=[
            DetectorOffer(
                name=name,
                summary=detector.summary,
                licence=detector.licence,
                on_disk=name in host.detectors_on_disk,
            )
            for name, detector in model_registry().detectors.items()
        ],
        switches=switches(os.environ),
        thread_limit=host.thread_limit,
        thread_limit_source=host.thread_limit_source,
    )


@router.post("/resolve")
async def resolve_plan(body: PlanRequest, services: ServicesDep) -> ResolvedPlan:
    """The options that a run would have, and with `ep_id` its frames and about how long it takes.

    Of a video that is in the storage and not on this host it tells the options alone. Nothing is
    started. It refuses what `POST /celery_jobs/detect_track` refuses.
    """
    layout, ep_id = services.layout, body.ep_id
    resolution = await resolve_here(body, services.host, services.code.fingerprint, services.source)
    options = resolution.options
    stride, frames, guess = None, None, Estimate(None, 0)
    if ep_id is not None and not await run_in_threadpool(is_elsewhere, layout, ep_id):
        videos = find_videos(layout, ep_id)
        facts = await services.videos.facts(videos[0], options.video_stream)
        stride = effective_stride(options.stride, options.fps, facts.fps)
        frames = sampled_count(facts.frames, stride)
        for warning in (
            several_videos_warning(videos),
            stride_warning(options, resolution.sources, facts.fps),
        ):
            resolution = resolution if warning is None else with_warning(resolution, warning)
        guess = await run_in_threadpool(_estimate, layout, ep_id, options, facts, frames)
    return ResolvedPlan(
        options=options,
        sources=resolution.sources,
        warnings=list(resolution.warnings),
        provider=PROVIDER_OF_DEVICE[options.device],
        effective_stride=stride,
        frames_total=frames,
        estimate_seconds=guess.seconds,
        estimate_runs=guess.runs,
    )


def _estimate(
    layout: Layout, ep_id: str, options: Options, facts: VideoFacts, frames: int
) -> Estimate:
    wanted = planned_work(ep_id, socket.gethostname(), options, facts, frames)
    if wanted is None:
        return Estimate(None, 0)
    own = newest_runs(layout, ep_id, _OWN_RUNS)
    others = [r for r in newest_of_episodes(layout, _OTHER_EPISODES) if r.ep_id != ep_id]
    past = [run for manifest in (*own, *others) if (run := past_run(manifest)) is not None]
    return estimate(wanted, past)
