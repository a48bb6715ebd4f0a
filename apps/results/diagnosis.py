"""Why was a run slow or hot? Answered from its manifest alone, by rules that name their evidence.

Each rule looks for one cause and gives at most one finding. A run that did what it was told at the
speed of its machine has findings of severity `info` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apps.common.config import run_defaults
from apps.common.contracts.manifest import RunManifest
from apps.common.options import EXPECTED_DECODED, PROVIDER_OF_DEVICE, sampled_count
from apps.common.schemas import Diagnosis, Finding, Severity
from apps.results.estimate import INFERENCE

_CAP_TOLERANCE = 1.10  # measured over allowed, before a cap counts as broken
_PACED_SHARE = 0.10  # of the run's wall clock, before the cap counts as felt
_WAITED_SHARE = 0.25  # of the run's CPU time, before other programs count as in its way
_DOMINANT = 1.5  # one stage over the other, before it is called the bottleneck


def diagnose(manifest: RunManifest) -> Diagnosis:
    """Applies every rule. Pure."""
    found = [finding for rule in _RULES for finding in rule(manifest)]
    order: list[Severity] = ["problem", "notice", "info"]
    return Diagnosis(
        ep_id=manifest.ep_id,
        run_id=manifest.run_id,
        status=manifest.status,
        findings=sorted(found, key=lambda finding: order.index(finding.severity)),
    )


def _unfinished(run: RunManifest) -> Iterator[Finding]:
    if run.status not in ("completed", "running"):
        yield Finding(
            code="not-completed",
            severity="notice" if run.status == "cancelled" else "problem",
            summary=f"The run has not completed ({run.status}): {run.exit_reason}",
            evidence={"status": run.status, "exit_reason": run.exit_reason},
            action="Look at the run's log, then run again.",
        )


def _provider(run: RunManifest) -> Iterator[Finding]:
    if run.provider is None:
        return
    wanted = PROVIDER_OF_DEVICE[run.options.device]
    fell_back = "fallback:cpu" in run.sources.get("device", "")
    probe = run.provider_probe
    chosen_by_benchmark = probe is not None and run.provider == probe.chosen
    if fell_back or (run.provider != wanted and not chosen_by_benchmark):
        yield Finding(
            code="cpu-fallback",
            severity="problem",
            summary=f"{run.options.device_asked} was asked for, but {run.provider} ran.",
            evidence={
                "device_asked": run.options.device_asked,
                "provider": run.provider,
                "session_providers": run.session_providers,
            },
            action="Install the ONNX Runtime build for the accelerator and check its driver.",
        )


def _stride(run: RunManifest) -> Iterator[Finding]:
    source = run.sources.get("stride", "")
    profile = run_defaults().profiles.get(run.options.profile)
    if source.startswith("env:") and profile and run.options.stride != profile.stride:
        yield Finding(
            code="stride-from-environment",
            severity="problem" if run.options.stride < profile.stride else "notice",
            summary=f"{source.removeprefix('env:')} overrides the profile's stride.",
            evidence={"stride": run.options.stride, "profile_stride": profile.stride},
            action="Unset the variable where the server or worker starts, and restart it.",
        )


def _frames(run: RunManifest) -> Iterator[Finding]:
    done = run.counts.get("frames_done")
    if run.video is None or run.effective_stride is None or done is None:
        return
    expected = sampled_count(run.video.frames, run.effective_stride)
    if done != expected:
        is_much = done < EXPECTED_DECODED * expected or done > expected
        yield Finding(
            code="frames-not-as-expected",
            severity="problem" if is_much else "notice",
            summary=f"{done} frames were processed where the stride asks for {expected}.",
            evidence={
                "frames_done": done,
                "expected": expected,
                "stride": run.effective_stride,
                "damaged_packets": run.counts.get("damaged_packets", 0),
            },
            action="Check the video in a player; it may be damaged or cut off.",
        )


def _no_faces(run: RunManifest) -> Iterator[Finding]:
    if run.result is None or run.result.detections > 0:
        return
    yield Finding(
        code="no-faces",
        severity="notice",
        summary="No faces were found.",
        evidence={
            "det_thresh": run.options.det_thresh,
            "det_size": run.options.det_size,
            "detector": run.options.detector,
            "stride": run.effective_stride,
        },
        action="If there are some: a smaller det_thresh lets in faces that are less sure, a larger "
        "det_size finds smaller ones, a smaller stride looks at more frames, and another detector "
        "sees other faces.",
    )


def _det_size(run: RunManifest) -> Iterator[Finding]:
    sizes = run_defaults().det_size
    usual = sizes.coreml if run.options.device == "coreml" else sizes.default
    if run.options.det_size > usual:
        yield Finding(
            code="detection-size-large",
            severity="problem",
            summary=f"The detector's picture is larger than the {usual} that suits the device.",
            evidence={
                "det_size": run.options.det_size,
                "usual": usual,
                "device": run.options.device,
                "source": run.sources.get("det_size"),
            },
            action=f"Leave det_size out, or set it to {usual}; the cost grows with its square.",
        )


def _threads(run: RunManifest) -> Iterator[Finding]:
    if not run.threads:
        return
    limit = run.options.cpu_threads
    pools = {name: run.threads.get(name) for name in ("decoder", "detector", "opencv", "blas")}
    unset = [name for name, size in pools.items() if not isinstance(size, int) or size < 1]
    too_large = [n for n, size in pools.items() if isinstance(size, int) and size > limit]
    busy = run.threads.get("busy", 0)
    if unset or too_large or busy > limit:
        yield Finding(
            code="thread-limit-missing",
            severity="problem",
            summary=f"More threads worked than the {limit} that were allowed.",
            evidence={"limit": limit, "busy": busy, **pools},
            action="Report this with the manifest: a library did not take the limit.",
        )


def _cap(run: RunManifest) -> Iterator[Finding]:
    cap = run.cpu_limit_percent
    if run.cpu is None or cap is None or run.result is None:
        return
    paced = run.times.get("paced", 0.0)
    evidence: dict[str, object] = {
        "max_cpu_percent": cap,
        "mean_percent": run.cpu.mean_percent,
        "paced_seconds": paced,
        "elapsed_seconds": run.result.elapsed_seconds,
    }
    if run.cpu.mean_percent > cap * _CAP_TOLERANCE:
        yield Finding(
            code="cap-exceeded",
            severity="problem",
            summary=f"The run used {run.cpu.mean_percent:g} % where {cap:g} % was allowed.",
            evidence=evidence,
            action="Report this with the manifest: the budget was not held.",
        )
    elif paced > _PACED_SHARE * run.result.elapsed_seconds and not _slowed_by_heat(run):
        yield Finding(
            code="cap-reached",
            severity="notice",
            summary=f"The run waited {paced:.1f} s so as to stay within {cap:g} % CPU.",
            evidence=evidence,
            action="Raise max_cpu_percent to be faster, or take a larger stride to be cooler.",
        )


def _others(run: RunManifest) -> Iterator[Finding]:
    waited = _waited(run)
    if waited is not None and run.cpu is not None:
        yield Finding(
            code="host-busy",
            severity="notice",
            summary=f"Other programs had the CPU: threads of the run were ready for {waited:.1f} s "
            f"in all while no core was free. They computed for {run.cpu.seconds:.1f} s.",
            evidence={"waited_seconds": waited, "cpu_seconds": run.cpu.seconds},
            action="Run it when the machine is quiet; no option makes up for that.",
        )


def _waited(run: RunManifest) -> float | None:
    """For how long other programs were in the run's way, seconds; None where they hardly were."""
    if run.cpu is None or run.cpu.waited_seconds is None:
        return None
    is_much = run.cpu.waited_seconds > _WAITED_SHARE * run.cpu.seconds
    return run.cpu.waited_seconds if is_much else None


def _heat(run: RunManifest) -> Iterator[Finding]:
    if run.thermal is not None and _slowed_by_heat(run):
        yield Finding(
            code="thermal-backoff",
            severity="notice",
            summary=f"The CPU reached {run.thermal.hottest_celsius:g} °C, so the run was slowed.",
            evidence={**run.thermal.model_dump(), "paced_seconds": run.times.get("paced", 0.0)},
            action="Let the machine cool, or set SCREENALYTICS_THERMAL_BACKOFF=0 to run hot.",
        )


def _slowed_by_heat(run: RunManifest) -> bool:
    return run.thermal is not None and run.thermal.lowest_percent < run.thermal.usual_percent


def _code(run: RunManifest) -> Iterator[Finding]:
    ours, launcher = run.versions.get("source_fingerprint"), run.launcher_fingerprint
    if launcher is not None and launcher != ours:
        yield Finding(
            code="server-runs-old-code",
            severity="problem",
            summary="The run's process had other code than the server or worker that started it.",
            evidence={"run": ours, "launcher": launcher},
            action="Restart the server and the workers.",
        )


def _bottleneck(run: RunManifest) -> Iterator[Finding]:
    if "decode" not in run.times or "detect" not in run.times:
        return
    # What a stage took then says more of the others on the host than of the stage; and of a run
    # that found nobody, nobody wants to know how it is faster.
    is_fair = _waited(run) is None and (run.result is None or run.result.detections > 0)
    stages = ("decode", "scale", *INFERENCE)
    spent = {stage: run.times[stage] for stage in stages if stage in run.times}
    decode = spent["decode"] + spent.get("scale", 0.0)
    detect = sum(spent.get(stage, 0.0) for stage in INFERENCE)
    if detect > _DOMINANT * decode:
        bound, action = "detection", "A smaller det_size or a larger stride helps most."
    elif decode > _DOMINANT * detect:
        bound, action = (
            "decoding (and scaling)",
            "A video of lower resolution or bit rate helps most.",
        )
    else:
        bound, action = "decoding (and scaling) and detection alike", ""
    yield Finding(
        code="bound-by",
        severity="info",
        summary=f"The run's time went into {bound}.",
        evidence={f"{stage}_seconds": seconds for stage, seconds in spent.items()},
        action=action if is_fair else "",
    )


_RULES: tuple[Callable[[RunManifest], Iterator[Finding]], ...] = (
    _unfinished,
    _provider,
    _stride,
    _frames,
    _no_faces,
    _det_size,
    _threads,
    _cap,
    _heat,
    _others,
    _code,
    _bottleneck,
)
