"""The part of docs/quality.md that tells of people, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lab.evaluation.people import CLIPS, PeopleResult
from lab.evaluation.people_ablation import ABLATIONS
from lab.evaluation.people_names import NamesScore, score_names
from lab.evaluation.people_scores import (
    CLEAR_PIXELS,
    LONG_S,
    MIN_CLEAR_S,
    PersonScore,
    mean_of,
)
from lab.evaluation.real_document import markdown_table

TITLE = "## Who is who"
WORST = 6  # videos of which is told what went wrong
_ABOUT = (
    "Tracks grouped into people. Rendered episodes of twenty shots, in which seven people come "
    "back in other photos, in all sizes and lights: numbers were chosen on those of the *tuning* "
    "set and on the clips, on which people were marked by hand; the *heldout* set has seven other "
    "people.\n\n"
    "B-cubed is of tracks, each weighted by the seconds in which it lies on a face; it is the "
    "person's on whose face it lies for longest. A track that was left out (it has no face that "
    "tells enough) is a group of its own. Shares are averaged over videos, F1 is of the two means; "
    "it is told once more without tracks that go over to another person, by a missed cut or a "
    "takeover, which are wrong in any group. "
    f"*Exactly one*: people with a clear face (from {CLEAR_PIXELS} pixels high) for "
    f"{MIN_CLEAR_S:g} s or more who are one group, which is nobody else's. *Mixed*: the seconds in "
    "which tracks lie on others than the person they are counted for.\n"
)
_SECONDS = (
    "What the group that stands for a person says, against what is true; people whom none stands "
    f"for count with 0 s. Of those who are on the screen for {LONG_S:g} s or more the worst is "
    "told.\n"
)
_NAMES = (
    "The other episodes of a set are named rightly; for each person of an episode whose name is "
    "known from there: got it / got another's / got none. Then strangers, people of the other set "
    "and of the clips, who got a name. By `suggest_factor`, times the distance at which tracks "
    "are grouped.\n"
)
FACTORS = (0.8, 1.0, 1.25, 1.5)
_FAILURES = (
    "`python -m lab.evaluate --people --errors` draws their faces; they are not kept here, since "
    "they are photos of people who did not ask to be.\n"
)


def people_section(results: Sequence[PeopleResult]) -> Iterator[str]:
    """The lines of the section; none where nothing was measured."""
    if not results:
        return
    yield f"{TITLE}\n"
    yield _ABOUT
    yield from _grouping(results)
    yield from _seconds(results)
    yield from _failures(results)
    yield from _names(results)
    yield from _ablations(results)


def with_section(document: str, lines: Sequence[str]) -> str:
    """A document with its section of this title replaced, or added at the end."""
    text = "\n".join(lines).rstrip("\n") + "\n"
    head, found, rest = document.partition(f"{TITLE}\n")
    if not found:
        return f"{document.rstrip()}\n\n{text}"
    _, next_title, tail = rest.partition("\n## ")
    return head + text + (next_title + tail if next_title else "")


def _groups(results: Sequence[PeopleResult]) -> Iterator[tuple[str, int, list[PeopleResult]]]:
    for set_name in dict.fromkeys(result.set_name for result in results):
        for stride in sorted({result.stride for result in results}):
            chosen = [r for r in results if (r.set_name, r.stride) == (set_name, stride)]
            if chosen:
                yield set_name, stride, chosen


def _grouping(results: Sequence[PeopleResult]) -> Iterator[str]:
    head = ["of", "stride", "tracks", "left out", "precision", "recall", "F1", "F1 without"]
    head += ["people found", "true", "exactly one", "mixed, s"]
    rows = [
        [f"**{set_name}**", *_grouping_cells(stride, chosen)]
        for set_name, stride, chosen in _groups(results)
    ]
    rows += [[each.name, *_grouping_cells(each.stride, [each])] for each in results]
    yield from markdown_table(head, rows)


def _grouping_cells(stride: int, chosen: Sequence[PeopleResult]) -> list[str]:
    scores = [result.score for result in chosen]
    all_of_them = mean_of(score.b_cubed for score in scores)
    pure = mean_of(score.of_pure for score in scores)
    clear = [person for score in scores for person in score.clear]
    return [
        str(stride),
        *(str(sum(getattr(score, name) for score in scores)) for name in ("tracks", "unassigned")),
        *(f"{value:.3f}" for value in (all_of_them.precision, all_of_them.recall)),
        *(f"{value:.3f}" for value in (all_of_them.f1, pure.f1)),
        str(sum(score.found for score in scores)),
        str(sum(len(score.people) for score in scores)),
        f"{sum(person.is_one for person in clear)} of {len(clear)}",
        f"{sum(score.mixed_s for score in scores):.1f}",
    ]


def _seconds(results: Sequence[PeopleResult]) -> Iterator[str]:
    yield "### Seconds of people on the screen\n"
    yield _SECONDS
    head = ["of", "stride", "people", "mean error, s", "of the video", "long ones", "worst of them"]
    rows = []
    for set_name, stride, chosen in _groups(results):
        scores = [result.score for result in chosen]
        worst = [score.worst_long_error for score in scores if score.worst_long_error is not None]
        rows.append(
            [
                *(set_name, str(stride), str(sum(len(score.people) for score in scores))),
                f"{np.mean([score.mean_error_s for score in scores]):.2f}",
                f"{100 * np.mean([score.mean_share_error for score in scores]):.2f} %",
                str(sum(len(score.long) for score in scores)),
                f"{100 * max(worst):.1f} %" if worst else "–",
            ]
        )
    yield from markdown_table(head, rows)


def _failures(results: Sequence[PeopleResult]) -> Iterator[str]:
    yield "### Who was grouped wrongly\n"
    wrong = [each for each in results if any(not person.is_one for person in each.score.clear)]
    wrong.sort(key=lambda each: each.score.b_cubed.f1)
    if not wrong:
        yield "Nobody who is to be found as exactly one.\n"
        return
    for each in wrong[:WORST]:
        people = "; ".join(_wrong(p) for p in each.score.clear if not p.is_one)
        yield f"- **{each.label}** (F1 {each.score.b_cubed.f1:.3f}): {people}."
    yield ""
    yield _FAILURES


def _wrong(person: PersonScore) -> str:
    name = person.person.replace("_", " ")
    if not person.groups:
        return f"{name} is in no group"
    if len(person.groups) > 1:
        return f"{name} is in {len(person.groups)} groups"
    return f"{name} shares a group"


def _names(results: Sequence[PeopleResult]) -> Iterator[str]:
    rows = []
    for set_name, stride, chosen in _groups(results):
        if len(chosen) < 2 or set_name == CLIPS:
            continue
        others = [r for r in results if r.stride == stride and r.set_name != set_name]
        cells = []
        for factor in FACTORS:
            score = names_of(chosen, others, factor)
            cells.append(
                f"{score.right} / {score.wrong} / {score.missed}; {score.disturbed} of "
                f"{score.strangers}"
            )
        rows.append([set_name, str(stride), *cells])
    if not rows:
        return
    yield "### Names from other episodes\n"
    yield _NAMES
    yield from markdown_table(["of", "stride", *(f"factor {each:g}" for each in FACTORS)], rows)


def names_of(
    results: Sequence[PeopleResult], strangers: Sequence[PeopleResult], factor: float
) -> NamesScore:
    """Each episode of a set named by the others of it; strangers by all of it."""
    score = NamesScore()
    for asked in results:
        named = [other.seen for other in results if other is not asked]
        score += score_names(named, asked.seen, factor)
    every = [each.seen for each in results]
    for stranger in strangers:
        score += score_names(every, stranger.seen, factor)
    return score


def _ablations(results: Sequence[PeopleResult]) -> Iterator[str]:
    ablated = [result for result in results if result.ablations]
    if not ablated:
        return
    strides = sorted({result.stride for result in ablated})
    yield "### What each part of the grouping buys\n"
    sets = " and ".join(dict.fromkeys(result.set_name for result in ablated))
    yield f"B-cubed precision / recall / F1 when one thing is changed: {sets}.\n"
    rows = []
    for ablation in ABLATIONS:
        cells = [ablation.name]
        for stride in strides:
            mean = mean_of(r.ablations[ablation.name] for r in ablated if r.stride == stride)
            cells.append(f"{mean.precision:.3f} / {mean.recall:.3f} / {mean.f1:.3f}")
        rows.append(cells)
    yield from markdown_table(["change", *(f"stride {stride}" for stride in strides)], rows)
