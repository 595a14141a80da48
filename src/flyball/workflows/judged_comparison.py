"""Which of two stored answers a judge prefers, case by case, in both orders. I/O: HTTP, reads answers, keeps verdicts.

An answer wins only if it wins in both orders; else the pair is a tie. A case that one side did not answer is won by the
other. A pair without two verdicts that can be read is won by nobody, and stays in the denominator as `unjudged`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from flyball.errors import InputError, UpstreamError
from flyball.evaluation.answer_judge import Judge, load_judge
from flyball.evaluation.case_answers import Answer, Partial, ask_all
from flyball.evaluation.comparison import Measured
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.judged import MALFORMED, both_orders, verdict_in
from flyball.evaluation.measures.rated import SHOWN
from flyball.evaluation.rated_answers import ANSWERS, RatedAnswer, read_answers, shown_answer
from flyball.evaluation.suites.preferences import FIRST, RUBRIC, SECOND, TIE, asked
from flyball.inference.completions import HttpCompleter
from flyball.inference.http_client import ServerAccess
from flyball.inference.model_list import model_names
from flyball.records import JSON, fingerprint_of
from flyball.telemetry import Progress

CONCURRENCY = 4
SHARES = {FIRST: (1.0, 0.0), SECOND: (0.0, 1.0), TIE: (0.5, 0.5), MALFORMED: (0.0, 0.0)}
"""What a verdict adds to the win rates of A and of B."""
Pair = tuple[RatedAnswer, RatedAnswer]


def judge_named(name: str, root: Path, access: ServerAccess) -> Judge:
    """judges/NAME.yaml, or the first model of the server at a URL with the usual rubric."""
    if "://" not in name:
        return load_judge(root, name)
    try:
        models = model_names(name, access)
    except UpstreamError:
        models = ()
    return Judge(url=name, rubric=RUBRIC, model=models[0] if models else "default")


def judged_pair(
    first: Measured, second: Measured, judge: Judge, *, access: ServerAccess, progress: Progress
) -> tuple[Measured, Measured]:
    """Both sides with the scores `win_rate`, `tied` and `unjudged` of each case; verdicts are kept beside B's report.

    InputError where a side has no stored answers.
    """
    assert first.folder and second.folder
    ours, theirs = read_answers(first.folder), read_answers(second.folder)
    for side, found in ((first, ours), (second, theirs)):
        if not found:
            raise InputError(
                f"{side.name} has no {ANSWERS} beside its report: only rated suites keep their answers",
                cure="evaluate both with --suite rated:JUDGE:FILE",
            )
    pairs = {key: (ours[key], theirs[key]) for key in ours if key in theirs}
    questions = {key: two for key, pair in pairs.items() if (two := both_bodies(judge, pair))}
    bodies = {fingerprint_of(body): body for both in questions.values() for body in both}
    plan = fingerprint_of([judge.digest, sorted(bodies)])
    kept = Partial(second.folder / f"verdicts-{plan[:12]}.jsonl", plan)
    completer = HttpCompleter(
        judge.url,
        model=judge.model,
        way=replace(access, api_key=judge.api_key, reach=None),
        timeout_s=judge.timeout_s,
    )
    try:
        said = ask_all(bodies, completer, concurrency=CONCURRENCY, partial=kept, progress=progress)
    finally:
        completer.close()
    kept.rewrite({key: answer for key, answer in said.items() if not answer.error})  # failures are asked again
    refuse_silence(said)
    verdicts = {key: verdict_of(pair, questions.get(key), said) for key, pair in pairs.items()}
    sides = [
        replace(one, items=[*one.items, *scores_of(one, verdicts, place)]) for place, one in enumerate((first, second))
    ]
    return sides[0], sides[1]


def refuse_silence(said: Mapping[str, Answer]) -> None:
    """UpstreamError where a judge was asked and said nothing that can be read: there is nothing to compare then."""
    if not said or any(verdict_in(one.text) for one in said.values() if not one.error):
        return
    one = next(iter(said.values()))
    text = " ".join(shown_answer(one.text).split())[-SHOWN:] or "it is empty"
    raise UpstreamError(
        f"the judge gave no verdict in {len(said)} replies: {one.error or f'one ends: {text}'}",
        cure="ask a judge that answers and ends with a line such as `Verdict: A`; max_tokens is under `request`",
    )


def both_bodies(judge: Judge, pair: Pair) -> tuple[dict[str, JSON], dict[str, JSON]] | None:
    """What the judge is asked in either order; None where a side has no answer."""
    a, b = pair[0].answer, pair[1].answer
    if a is None or b is None:
        return None
    return _body(judge, pair[0].question, a, b), _body(judge, pair[0].question, b, a)


def _body(judge: Judge, question: str, a: str, b: str) -> dict[str, JSON]:
    messages = [msgspec.to_builtins(one) for one in asked(question, a, b, judge.rubric, "")]
    return {**judge.request, "model": judge.model, "messages": messages}


def verdict_of(pair: Pair, bodies: tuple[dict[str, JSON], dict[str, JSON]] | None, said: Mapping[str, Answer]) -> str:
    """Who wins a case."""
    if bodies is None:
        if pair[0].answer is None and pair[1].answer is None:
            return TIE
        return FIRST if pair[1].answer is None else SECOND
    shown, swapped = (said[fingerprint_of(body)] for body in bodies)
    if shown.error or swapped.error:
        return MALFORMED
    return both_orders(verdict_in(shown.text), verdict_in(swapped.text))[0]


def scores_of(measured: Measured, verdicts: Mapping[tuple[str, str], str], place: int) -> Iterator[ItemScore]:
    """The scores of one side, with the slices and clusters that its ratings have."""
    for one in measured.items:
        verdict = verdicts.get((one.suite, one.item))
        if one.measure == "rating" and verdict is not None:
            bare = msgspec.structs.replace(one, error=None, expected=None, answer=None)
            yield msgspec.structs.replace(bare, measure="win_rate", score=SHARES[verdict][place])
            yield msgspec.structs.replace(bare, measure="tied", score=float(verdict == TIE))
            yield msgspec.structs.replace(bare, measure="unjudged", score=float(verdict == MALFORMED))
