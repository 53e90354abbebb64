"""The answer of a backtest in words: what can be forecast here, how early, and how far to trust it."""

from __future__ import annotations

import math

import pandas as pd

from predictdyn.backtest.answered import short_of_answers, silent
from predictdyn.backtest.compare import NEEDED, NOT_PREDICTABLE, PREDICTABLE, TOO_FEW
from predictdyn.report.blocks import Cell, Mark, PageAnswer, PageTable
from predictdyn.report.downloads import download
from predictdyn.report.reliability import resolved, share_held
from predictdyn.report.results import Results
from predictdyn.report.words import (
    SPACE,
    at_cutoff,
    beginning,
    count,
    cutoffs_of,
    in_order,
    less_error,
    listed,
    percent,
    percents,
    same_cutoff,
)

_MARK: dict[str, Mark] = {PREDICTABLE: "good", NOT_PREDICTABLE: "bad", TOO_FEW: "unsure"}
_SHORT = {PREDICTABLE: "predictable", NOT_PREDICTABLE: "not predictable", TOO_FEW: "too few runs"}


def answer(results: Results) -> PageAnswer:
    """What a backtest says: what is predictable from how much of a run, how sure, and whether intervals hold."""
    verdicts = results.verdicts[results.verdicts["forecaster"] == results.primary]
    rows = verdicts[verdicts["kind"].isin(results.outcomes)]
    rows = rows if len(rows) else verdicts
    own = results.forecasts[results.forecasts["forecaster"] == results.primary]
    mute = [silent(own, kind, cutoff) for kind, cutoff in zip(rows["kind"], rows["cutoff"], strict=True)]
    unsaid, rows = rows[mute], rows[[not one for one in mute]]
    if rows.empty:
        return _no_answer(results, own, unsaid, verdicts)
    good = rows[rows["verdict"] == PREDICTABLE]
    cutoff = cutoffs_of((good if len(good) else rows)["cutoff"])[0]
    if len(good):
        best = good[same_cutoff(good["cutoff"], cutoff)].sort_values("skill", ascending=False)
        asked = rows[same_cutoff(rows["cutoff"], cutoff)]["kind"].nunique()
        headline, proof = _better(results, best, cutoff, asked)
    else:
        best = rows.nlargest(1, "skill") if rows["skill"].notna().any() else rows.head(1)
        cutoff = float(best["cutoff"].iloc[0])
        headline, proof = _no_better(results, rows)
    few = _by_kind(results, rows[rows["verdict"] == TOO_FEW])
    bad = _by_kind(results, rows[rows["verdict"] == NOT_PREDICTABLE])
    mute_kinds = _by_kind(results, unsaid)
    sentences = [
        proof,
        *_fallbacks(results, own),
        f"{results.primary} did not answer for {mute_kinds}: those forecasts are the last value." if mute_kinds else "",
        trust(results),
        f"Not predictable here: {bad}. That means not reliably better than the best simple guess."
        if bad and len(good)
        else "",
        f"Too few runs to say: {few}." if few and (len(good) or bad) else "",
    ]
    kind = in_order(best["kind"], results.kinds)[0]
    return PageAnswer(headline, [s for s in sentences if s], verdict_table(results, verdicts), kind, cutoff)


def _no_answer(results: Results, own: pd.DataFrame, unsaid: pd.DataFrame, verdicts: pd.DataFrame) -> PageAnswer:
    """Where no forecast is the forecaster's own, nothing was learnt of what is predictable."""
    kinds = listed([results.named(kind) for kind in in_order(unsaid["kind"], results.kinds)])
    kind = in_order(unsaid["kind"], results.kinds)[0]
    said = [
        *(f"{line}." for line in short_of_answers(own, (), 0.0)),
        "So this backtest does not say what can be predicted here. Scores and figures are those of the last value.",
    ]
    headline = f"{results.speaker} did not answer: nothing was forecast of {kinds}."
    return PageAnswer(headline, said, verdict_table(results, verdicts), kind, cutoffs_of(unsaid["cutoff"])[0])


def _fallbacks(results: Results, own: pd.DataFrame) -> list[str]:
    """How many forecasts are the forecaster's own, where many are not."""
    board = results.leaderboard
    return [f"{line}." for line in short_of_answers(own, board.loc[board["baseline"], "forecaster"].tolist())]


def _what(results: Results, kind: str) -> str:
    """The question: the end of a curve, or all that was hidden of it."""
    hidden = (results.provenance.get("plan") or {}).get("targets") == "hidden"
    return f"the rest of {results.named(kind)}" if hidden else f"final {results.named(kind)}"


def _better(results: Results, best: pd.DataFrame, cutoff: float, asked: int) -> tuple[str, str]:
    """Headline and proof; ``best`` are the predictable kinds at the cutoff, of ``asked`` kinds in all."""
    gains = best["skill"].tolist()
    outcomes = [_what(results, kind) for kind in best["kind"]]
    than = "less error than the best simple guess"
    if len(best) == 1:
        what = f"{outcomes[0]} with {percent(gains[0])} {than}"
    elif len(best) == 2:
        what = f"{outcomes[0]} with {percent(gains[0])} {than}, and {outcomes[1]} with {percent(gains[1])} less"
    else:
        what = f"{len(best)} of {count(asked, 'outcome')} with {percents(min(gains), max(gains))} {than}"
    headline = f"{beginning(cutoff)}, {results.speaker} forecasts {what}."
    each = [
        f"{results.named(row['kind'])} {percent(row['skill'])} ({percents(row['skill_lo'], row['skill_hi'])})"
        for _, row in best.iterrows()
    ]
    return headline, f"Less error, with 90{SPACE}% interval: {listed(each)}. {_over(best)}."


def _no_better(results: Results, rows: pd.DataFrame) -> tuple[str, str]:
    closest = rows.sort_values("skill", ascending=False, na_position="last").iloc[0]
    where = results.named(closest["kind"])
    if math.isfinite(closest["cutoff"]):
        where += f" at {at_cutoff(closest['cutoff'])} of the run"
    runs = _over(closest.to_frame().T)
    low, high = closest["skill_lo"], closest["skill_hi"]
    if closest["skill"] >= 0:
        said = f"{percent(closest['skill'])} less error (90{SPACE}% interval {percents(low, high)})"
    else:  # skill below zero is no word for error, so both ends are said in full
        best, worst = less_error(high), less_error(low)
        # "8.1 to 12 times the error" and "4 to 9 % more error": the words that both ends share are said once.
        best = best.split(" times")[0] if " times" in worst and " times" in best else best
        best = best.removesuffix(f"{SPACE}% more error") if worst.endswith("% more error") else best
        ends = f" (90{SPACE}% interval {best} to {worst})" if math.isfinite(low + high) else ""
        said = less_error(closest["skill"]) + ends
    skill = f"{where}, {said}. {runs}"
    if (rows["verdict"] == TOO_FEW).all():
        return (
            f"Too few runs to say whether {results.speaker} forecasts anything here better than the best simple guess.",
            f"Nearest to a verdict: {skill}; {NEEDED} families of runs, or as many runs of one.",
        )
    rows = rows[rows["verdict"] == NOT_PREDICTABLE]
    shares = [at_cutoff(cutoff) for cutoff in cutoffs_of(rows["cutoff"])]
    when = f"at {listed(shares)} of a run" if rows["cutoff"].notna().all() else "from what is seen of each run"
    board = results.leaderboard
    itself = ", itself a simple guess," if board.loc[board["baseline"], "forecaster"].eq(results.primary).any() else ""
    kinds = listed([results.named(kind) for kind in in_order(rows["kind"], results.kinds)])
    return (
        f"Not predictable here: {kinds}, {when}.",
        f"{results.primary}{itself} does not forecast reliably better than the best simple guess. Nearest: {skill}.",
    )


def _over(rows: pd.DataFrame) -> str:
    def span(column: str, one: str, many: str) -> str:
        low, high = rows[column].min(), rows[column].max()
        return count(low, one, many) if low == high else f"{low:,.0f} to {high:,.0f} {many}"

    runs, families = span("n_runs", "run", "runs"), span("n_families", "family", "families")
    return f"The basis is {runs} of {families}; runs of one family were hidden together"


def _by_kind(results: Results, rows: pd.DataFrame) -> str:
    found = []
    for kind in dict.fromkeys(rows["kind"]):
        shares = [at_cutoff(cutoff) for cutoff in cutoffs_of(rows.loc[rows["kind"] == kind, "cutoff"])]
        named = results.named(kind)
        found.append(f"{named} at {listed(shares)}" if shares != ["fixed split"] else named)
    return "; ".join(found)


def trust(results: Results) -> str:
    """Whether the intervals of the primary forecaster hold what they promise, in one sentence."""
    rows = resolved(results.own())
    if rows.empty:
        return "No outcome is known yet, so the intervals cannot be checked."
    held = share_held(rows, 0.9, results.seed)
    sure = f" (between {percents(held.low, held.high)}, with runs as the unit)" if math.isfinite(held.low) else ""
    sure = sure.replace(" to ", " and ")
    if held.high < 0.9:
        judged = " They are too narrow: be less sure than they say."
    elif held.low > 0.9:
        judged = " They are wider than they need to be."
    else:
        judged = ""
    return f"The 90{SPACE}% intervals contain the outcome in {percent(held.share)} of cases{sure}.{judged}"


def verdict_table(results: Results, verdicts: pd.DataFrame) -> PageTable:
    """Kind x cutoff: the verdict as word, colour, sign and number."""
    cutoffs = cutoffs_of(verdicts["cutoff"])
    own = results.forecasts[results.forecasts["forecaster"] == results.primary]
    rows = []
    for kind in in_order(verdicts["kind"], results.kinds):
        cells = [_outcome(results, kind)]
        for cutoff in cutoffs:
            found = verdicts[(verdicts["kind"] == kind) & same_cutoff(verdicts["cutoff"], cutoff)]
            if found.empty:
                cells.append(Cell("–", mark="quiet"))
            elif silent(own, kind, cutoff):
                cells.append(Cell("no answer", "all are the last value", "unsure"))
            else:
                cells.append(_verdict(found.iloc[0]))
        rows.append(cells)
    head = ["outcome", *(f"{at_cutoff(cutoff)} seen" if math.isfinite(cutoff) else "fixed split" for cutoff in cutoffs)]
    caption = (
        "Can the outcome be predicted from this much of a run? The number is the skill: the share of the best simple "
        f"guess's error that {results.speaker} removes, with its 90{SPACE}% interval. A simple guess is, for example, "
        "the last value, or the mean of finished runs. Predictable: skill is above zero with confidence. Not "
        "predictable: not reliably better than that guess, though the forecast may be close. Each cell is "
        "judged by itself."
    )
    return PageTable(caption, head, rows, len(head), download(results.verdicts, "verdicts.csv"))


def _outcome(results: Results, kind: str) -> Cell:
    """The name of a row: the metric with its kind, or the kind with how many metrics it has."""
    metrics = results.forecasts.loc[results.forecasts["kind"] == kind, "metric"].unique()
    named = results.named(kind)
    if len(metrics) != 1:
        return Cell(named, count(len(metrics), "metric"))
    return Cell(named, kind if named != kind else "", name=str(metrics[0]))


def _verdict(row: pd.Series) -> Cell:
    sign = "+" if row["skill"] > 0 else ""
    span = percents(row["skill_lo"], row["skill_hi"])
    number = f"{sign}{percent(row['skill'])} ({span}), {count(row['n_runs'], 'run')}"
    return Cell(_SHORT[row["verdict"]], number, _MARK[row["verdict"]])
