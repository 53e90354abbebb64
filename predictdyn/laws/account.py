"""What a law says of itself: its structures with their weights, its numbers with intervals, how held-out runs went."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtri

from predictdyn.laws.formula import Formula, Number, formula_of, words_of
from predictdyn.laws.law import Law
from predictdyn.laws.member import Member
from predictdyn.laws.structures import FLOOR, Structure, untied
from predictdyn.scores import crps

# A plain law is shown where its noise, and its held-out CRPS, are at most so many times the smallest of any.
AS_NEAR, AS_FAR = 1.25, 2.0
DRAWS, SEED = 2000, 0  # of the numbers, for their intervals
HEAVIEST = 3  # structures, beside the one that is shown, whose numbers are told
LEVELS = (np.arange(64) + 0.5) / 64
STRUCTURES = ["structure", "formula", "weight", "held_out_crps", "discrepancy", "shown"]
PARAMETERS = ["structure", "symbol", "meaning", "group", "median", "q0.05", "q0.95", "weight", "shown"]


def structures_of(law: Law) -> pd.DataFrame:
    """A row a structure, heaviest first: ``weight`` in the mixture, CRPS of runs held out, in units of the target.

    ``discrepancy`` is the part of the weight that has a process around the law. ``shown`` marks the one that pages
    speak of: a plain sum of powers where it fits nearly as well as the best and forecasts not much worse, else the
    heaviest. Forecasts use all that have weight.
    """
    rows = []
    for name, places in _places(law).items():
        weights = law.mixture.weights[places]
        heavy = places[int(np.argmax(weights))]
        member = law.mixture.members[heavy]
        by_process = [law.mixture.weights[place] for place in places if law.mixture.members[place].ratio > 0]
        rows.append({
            "structure": words_of(member.design.structure, law.inputs),
            "formula": formula_of(member.design, member.numbers[None], law.inputs, law.link, law.target).symbols,
            "weight": float(weights.sum()), "held_out_crps": min(_crps(law, place) for place in places),
            "discrepancy": float(sum(by_process) / weights.sum()) if weights.sum() > 0 else 0.0, "name": name,
            "noise": _independent(law, places).noise,
        })  # fmt: skip
    table = pd.DataFrame(rows).sort_values("weight", ascending=False, kind="stable", ignore_index=True)
    table["shown"] = table["name"] == shown_structure(law, table)
    return table[STRUCTURES]


def shown_structure(law: Law, table: pd.DataFrame) -> str:
    """The name of the structure that pages speak of, from rows with name, noise and held_out_crps, heaviest first."""
    by_name = {member.design.structure.name: member.design.structure for member in law.mixture.members}
    far = table["held_out_crps"] > AS_FAR * table["held_out_crps"].min()
    near = table[~far & (table["noise"] <= AS_NEAR * table["noise"].min())]
    for test in (_additive, _plain):
        good = [name for name in near["name"] if test(by_name[name])]
        if good:
            found = str(near.set_index("name").loc[good, "held_out_crps"].fillna(0).idxmin())
            break
    else:
        found = str(table["name"].iloc[0])
    # Tied exponents would look surer than they are.
    return untied(by_name[found], by_name.values()).name


def shown_member(law: Law) -> Member:
    """The structure that pages speak of, fitted with independent noise."""
    return _independent(law, _places(law)[shown_structure(law, _ranked(law))])


def formulas_of(law: Law, groups: bool = False, most: int = HEAVIEST) -> list[tuple[str, Formula, float, bool]]:
    """The group, formula and weight of the structure that is shown, then of the heaviest; last whether it is shown."""
    places, ranked = _places(law), _ranked(law)
    order = ranked["name"].tolist()
    shown = shown_structure(law, ranked)
    found = []
    for name in dict.fromkeys([shown, *order[:most]]):
        heavy = places[name][int(np.argmax(law.mixture.weights[places[name]]))]
        design, weight = law.mixture.members[heavy].design, float(law.mixture.weights[places[name]].sum())
        raw = law.mixture.numbers(int(heavy), DRAWS, np.random.default_rng(SEED))
        own = bool(design.own.any()) and groups
        for group in (-1, *(range(len(law.inputs.groups)) if own else ())):
            called = law.inputs.groups[group] if group >= 0 else ""
            formula = formula_of(design, raw, law.inputs, law.link, law.target, group=group)
            found.append((called, formula, weight, name == shown))
    return found


def parameters_of(law: Law) -> pd.DataFrame:
    """A row a number of the structure that is shown and of the heaviest: median and 90 % interval of its posterior.

    Numbers are in the units of the inputs and the target. Rows with a ``group`` have the number of that group.
    """
    words = dict(structures_of(law)[["formula", "structure"]].itertuples(index=False, name=None))
    rows = []
    for group, formula, weight, shown in formulas_of(law, groups=True):
        for one in [*formula.numbers, *derived(formula)]:
            low, middle, high = np.quantile(one.draws, (0.05, 0.5, 0.95))
            rows.append(
                (words.get(formula.symbols, ""), one.symbol, one.meaning, group, middle, low, high, weight, shown)
            )
    return pd.DataFrame(rows, columns=PARAMETERS)


def correlations_of(law: Law) -> pd.DataFrame:
    """Posterior correlations of the numbers of the structure that is shown; of levels, their logarithms."""
    formula = next(one for _, one, _, shown in formulas_of(law) if shown)
    kept = [one for one in formula.numbers if len(one.draws) > 1]
    draws = [np.log(one.draws) if one.symbol.isupper() else one.draws for one in kept]
    names = [f"ln {one.symbol}" if one.symbol.isupper() else one.symbol for one in kept]
    return pd.DataFrame(np.corrcoef(np.stack(draws)).reshape(len(kept), -1), index=names, columns=names)


def derived(formula: Formula) -> list[Number]:
    """What follows from E + A / x^a + B / y^b where x y is given: by which power of it the best x and y grow.

    Nothing where a and b are tied: then it is one half beforehand.
    """
    powers = [piece.powers for piece in formula.pieces if piece.role != FLOOR]
    if formula.tied or formula.factor or len(powers) != 2 or any(len(some) != 1 for some in powers):
        return []
    (x, a), (y, b) = powers[0][0], powers[1][0]
    if (a.draws + b.draws <= 0).any():
        return []
    total = a.draws + b.draws
    return [
        Number(
            f"{b.symbol}/({a.symbol}+{b.symbol})", f"growth of the best {x} with the budget {x} x {y}", b.draws / total
        ),
        Number(f"{a.symbol}/({a.symbol}+{b.symbol})", f"growth of the best {y} with it", a.draws / total),
    ]


def _places(law: Law) -> dict[str, np.ndarray]:
    """The members of each structure."""
    found: dict[str, list[int]] = {}
    for place, member in enumerate(law.mixture.members):
        found.setdefault(member.design.structure.name, []).append(place)
    return {name: np.array(places) for name, places in found.items()}


def _independent(law: Law, places: np.ndarray) -> Member:
    """Of the members of a structure the one without a process around it."""
    found: Member = min((law.mixture.members[place] for place in places), key=lambda member: member.ratio)
    return found


def _ranked(law: Law) -> pd.DataFrame:
    """Structures, heaviest first, with the noise and the CRPS of held-out runs that `shown_structure` asks for."""
    places = _places(law)
    order = sorted(places, key=lambda name: -law.mixture.weights[places[name]].sum())
    return pd.DataFrame({
        "name": order, "noise": [_independent(law, places[name]).noise for name in order],
        "held_out_crps": [min(_crps(law, place) for place in places[name]) for name in order],
    })  # fmt: skip


def _crps(law: Law, place: int) -> float:
    """Mean CRPS of a member for the runs held out at the origins, each origin alike, in units of the target."""
    if not law.mixture.replays:
        return float("nan")
    one, origin = law.mixture.replays[place], law.mixture.origin
    draws = law.link.value(one.mean[:, None] + one.sd[:, None] * ndtri(LEVELS))
    score = crps(law.link.value(law.mixture.truth), draws)
    return float(np.mean([score[origin == which].mean() for which in np.unique(origin)]))


def _additive(structure: Structure) -> bool:
    """E + A / x^a + B / y^b + ...: the law that the field writes first."""
    return _plain(structure) and all(len(term.features) <= 2 for term in structure.terms) and len(structure.terms) > 1


def _plain(structure: Structure) -> bool:
    """Terms of powers alone."""
    simple = all(feature.what in ("one", "log") for term in structure.terms for feature in term.features)
    return simple and not structure.factor and structure.saturation is None
