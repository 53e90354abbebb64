"""The answer of a backtest in words: what can be forecast here, how early, and how far to trust it."""

from __future__ import annotations

import math

import pandas as pd

from predictdyn.report.blocks import Cell, Mark, PageAnswer, PageTable
from predictdyn.report.reliability import resolved, share_held
from predictdyn.report.results import VERDICTS, Results
from predictdyn.report.words import (
    SPACE,
    at_cutoff,
    beginning,
    count,
    cutoffs_of,
    in_order,
    listed,
    percent,
    percents,
    same_cutoff,
)

PREDICTABLE, NOT_PREDICTABLE, TOO_FEW = VERDICTS
_MARK: dict[str, Mark] = {PREDICTABLE: "good", NOT_PREDICTABLE: "bad", TOO_FEW: "unsure"}
_SHORT = {PREDICTABLE: "predictable", NOT_PREDICTABLE: "not predictable", TOO_FEW: "too few runs"}


def answer(results: Results) -> PageAnswer:
    """What a backtest says: what is predictable from how much of a run, how sure, and whether intervals hold."""
    verdicts = results.verdicts[results.verdicts["forecaster"] == results.primary]
    rows = verdicts[verdicts["kind"].isin(results.outcomes)]
    rows = rows if len(rows) else verdicts
    good = rows[rows["verdict"] == PREDICTABLE]
    cutoff = cutoffs_of((good if len(good) else rows)["cutoff"])[0]
    if len(good):
        best = good[same_cutoff(good["cutoff"], cutoff)].sort_values("skill", ascending=False)
        headline, proof = _better(results, best, cutoff)
    else:
        best = rows.nlargest(1, "skill") if rows["skill"].notna().any() else rows.head(1)
        cutoff = float(best["cutoff"].iloc[0])
        headline, proof = _no_better(results, rows)
    few = _by_kind(rows[rows["verdict"] == TOO_FEW])
    bad = _by_kind(rows[rows["verdict"] == NOT_PREDICTABLE])
    sentences = [
        proof,
        trust(results),
        f"Not predictable here: {bad}." if bad and len(good) else "",
        f"Too few runs to say: {few}." if few and (len(good) or bad) else "",
        f"{len(good)} of {len(rows)} pairs of kind and cutoff {'is' if len(good) == 1 else 'are'} predictable here."
        if len(cutoffs_of(rows["cutoff"])) > 1 and len(good)
        else "",
    ]
    kind = in_order(best["kind"], results.kinds)[0]
    return PageAnswer(headline, [s for s in sentences if s], verdict_table(results, verdicts), kind, cutoff)


def _what(results: Results, kind: str) -> str:
    hidden = (results.provenance.get("plan") or {}).get("targets") == "hidden"
    return f"the rest of {kind} curves" if hidden else f"final {kind}"


def _better(results: Results, best: pd.DataFrame, cutoff: float) -> tuple[str, str]:
    kinds = best["kind"].tolist()
    named = [_what(results, kinds[0]), *kinds[1:]]
    gains = [f"{kind} {percent(skill)}" for kind, skill in zip(named, best["skill"], strict=True)]
    headline = (
        f"{beginning(cutoff)}, {results.primary} forecasts {listed(gains, 3)} better than the best simple baseline."
    )
    spans = [
        percents(row["skill_lo"], row["skill_hi"]) + (f" for {row['kind']}" if len(best) > 1 else "")
        for _, row in best.iterrows()
    ]
    many = f"90{SPACE}% interval of {'these skills' if len(best) > 1 else 'the skill'}: {listed(spans)}"
    return headline, f"{many}, over {_over(best)}."


def _no_better(results: Results, rows: pd.DataFrame) -> tuple[str, str]:
    closest = rows.sort_values("skill", ascending=False, na_position="last").iloc[0]
    span = percents(closest["skill_lo"], closest["skill_hi"])
    where = f"{closest['kind']} at {at_cutoff(closest['cutoff'])}"
    runs = _over(closest.to_frame().T)
    skill = f"{where} with skill {percent(closest['skill'])} (90{SPACE}% interval {span}), over {runs}"
    if (rows["verdict"] == TOO_FEW).all():
        return (
            f"Too few runs to say whether {results.primary} forecasts anything here better than the best simple "
            "baseline.",
            f"Nearest to a verdict: {skill}.",
        )
    rows = rows[rows["verdict"] == NOT_PREDICTABLE]
    shares = [at_cutoff(cutoff) for cutoff in cutoffs_of(rows["cutoff"])]
    when = f"at {listed(shares)} of a run" if rows["cutoff"].notna().all() else "from what is seen of each run"
    board = results.leaderboard
    itself = (
        ", itself a simple baseline," if board.loc[board["baseline"], "forecaster"].eq(results.primary).any() else ""
    )
    kinds = listed([str(kind) for kind in in_order(rows["kind"], results.kinds)])
    return (
        f"Not predictable here: {kinds}, {when}.",
        f"{results.primary}{itself} is not shown to forecast better than the best simple baseline. "
        f"Nearest to better: {skill}.",
    )


def _over(rows: pd.DataFrame) -> str:
    def span(column: str, one: str, many: str) -> str:
        low, high = rows[column].min(), rows[column].max()
        return count(low, one, many) if low == high else f"{low:,.0f} to {high:,.0f} {many}"

    return f"{span('n_runs', 'run', 'runs')} of {span('n_families', 'family', 'families')}"


def _by_kind(rows: pd.DataFrame) -> str:
    found = []
    for kind in dict.fromkeys(rows["kind"]):
        shares = [at_cutoff(cutoff) for cutoff in cutoffs_of(rows.loc[rows["kind"] == kind, "cutoff"])]
        found.append(f"{kind} at {listed(shares)}" if shares != ["fixed split"] else str(kind))
    return "; ".join(found)


def trust(results: Results) -> str:
    """Whether the intervals of the primary forecaster hold what they promise, in one sentence."""
    rows = resolved(results.own())
    if rows.empty:
        return "No truth is known yet, so nothing is known of its calibration."
    held = share_held(rows, 0.9, results.seed)
    sure = f" (interval by runs {percents(held.low, held.high)})" if math.isfinite(held.low) else ""
    if held.high < 0.9:
        judged = ": too narrow, so read them as less sure than they say"
    elif held.low > 0.9:
        judged = ": wider than they need to be"
    else:
        judged = ""
    return f"Its 90{SPACE}% intervals held {percent(held.share)} of truths{sure}{judged}."


def verdict_table(results: Results, verdicts: pd.DataFrame) -> PageTable:
    """Kind x cutoff: the verdict as word, colour, sign and number."""
    cutoffs = cutoffs_of(verdicts["cutoff"])
    rows = []
    for kind in in_order(verdicts["kind"], results.kinds):
        cells = [Cell(kind)]
        for cutoff in cutoffs:
            found = verdicts[(verdicts["kind"] == kind) & same_cutoff(verdicts["cutoff"], cutoff)]
            cells.append(_verdict(found.iloc[0]) if len(found) else Cell("–", mark="quiet"))
        rows.append(cells)
    head = ["kind", *(f"{at_cutoff(cutoff)} seen" if math.isfinite(cutoff) else "fixed split" for cutoff in cutoffs)]
    caption = (
        f"Skill of {results.primary}: the share of the best simple baseline's error (CRPS) that it takes away, "
        f"with its 90{SPACE}% interval. Predictable: above zero with confidence, each judged by itself and not "
        "corrected for their number."
    )
    return PageTable(caption, head, rows, names=len(head))


def _verdict(row: pd.Series) -> Cell:
    sign = "+" if row["skill"] > 0 else ""
    span = percents(row["skill_lo"], row["skill_hi"])
    number = f"{sign}{percent(row['skill'])} ({span}), {count(row['n_runs'], 'run')}"
    return Cell(_SHORT[row["verdict"]], number, _MARK[row["verdict"]])
