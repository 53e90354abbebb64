"""The formula that a page shows is the law: evaluated as it is written, it gives what the engine gives."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from predictdyn.laws import law_of
from predictdyn.laws.account import correlations_of, parameters_of, shown_structure, structures_of
from predictdyn.laws.formula import figure, formula_of, left_of
from predictdyn.laws.link import link_for


@pytest.fixture(scope="module")
def law(runs):
    return law_of(runs, "loss")


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(0)
    web = rng.uniform(0.05, 0.9, 24)
    table = pd.DataFrame({"web": web, "code": 1 - web, "params": 10 ** rng.uniform(6, 8, 24)})
    table["loss"] = 2 + 30 * table["params"] ** -0.25 + np.exp(-2 * table["web"]) / 5
    return law_of(table, "loss")


def written(text: str, numbers: dict[str, float], table: pd.DataFrame) -> np.ndarray:
    """The value of a formula as a reader would work it out: Python for what stands behind the sign of equality."""
    body, _, where = text.split(" = ", 1)[1].partition(", where ")
    names = {name: table[name].to_numpy() for name in table}
    where = re.sub(r"^\w+ ≈ \w+(, )?", "", where)  # that two numbers are alike
    for line in re.split(r", (?=[\w()]+ = )", where) if where else []:
        left, right = line.split(" = ", 1)
        key = left.replace("(", "_").replace(")", "")
        names[key] = eval(python(right), {"ln": np.log, "exp": np.exp}, names)
    return eval(python(body), {"ln": np.log, "exp": np.exp}, {**names, **numbers})


def python(text: str) -> str:
    text = text.replace("·", "*").replace("^", "**").replace("−", "-").replace("²", "**2")
    text = re.sub(r"√(\w+)", r"\1**0.5", text)
    text = re.sub(r"effective\((\w+)\)", r"effective_\1", text)
    # Two names, or a number and a name or bracket, side by side are multiplied.
    text = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", text)
    return text


@pytest.mark.parametrize("which", ["law", "mixed"])
def test_every_structure_is_what_its_formula_says(which, request):
    law = request.getfixturevalue(which)
    rows = law.runs.drop(columns="loss").head(7)
    seen = 0
    for member in law.mixture.members:
        formula = formula_of(member.design, member.numbers[None], law.inputs, law.link, "loss")
        numbers = {one.symbol: one.draws[0] for one in formula.numbers}
        expected = law.link.value(
            member.design.values(member.design.matrix(law.inputs.encode(rows)), member.numbers[None])[0]
        )
        # Letters stand for inputs divided by rounded means, and strengths are rounded, so to three digits.
        assert written(formula.symbols, numbers, rows) == pytest.approx(expected, rel=4e-3), formula.symbols
        seen += 1
    assert seen > 20


@pytest.mark.parametrize(
    ("size", "data", "target"),
    [("n", "d", "loss"), ("a", "E", "y"), ("x1", "R", "A"), ("h", "b_2", "e"), ("C", "p", "c")],
)
def test_no_symbol_has_two_meanings_whatever_columns_are_called(law, size, data, target):
    new = {"params": size, "tokens": data}
    inputs = replace(law.inputs, logs={new[name]: how for name, how in law.inputs.logs.items()})
    rows = law.runs.drop(columns="loss").head(5).rename(columns=new)
    for member in law.mixture.members:
        formula = formula_of(member.design, member.numbers[None], inputs, law.link, target)
        symbols = [one.symbol for one in formula.numbers]
        letters = [line.split(" = ")[0] for line in formula.where if " = ln(" in line]
        named = [*symbols, *letters, size, data, target]
        assert len({*named}) == len(named), formula.symbols
        numbers = {one.symbol: one.draws[0] for one in formula.numbers}
        expected = law.link.value(
            member.design.values(member.design.matrix(inputs.encode(rows)), member.numbers[None])[0]
        )
        assert written(formula.symbols, numbers, rows) == pytest.approx(expected, rel=4e-3), formula.symbols


def test_the_filled_formula_has_the_medians(law, known):
    normals = np.random.default_rng(0).standard_normal((500, 5))
    member = next(one for one in law.mixture.members if one.design.structure.name == "floor + powers")
    formula = formula_of(member.design, member.gaussian(normals), law.inputs, law.link, "loss")
    assert re.fullmatch(r"loss = 1\.\d+ \+ \d+ / params\^0\.\d+ \+ \d+ / tokens\^0\.\d+", formula.filled)
    assert formula.symbols == "loss = E + A / params^a + B / tokens^b"
    table = pd.DataFrame({"params": [1e8], "tokens": [1e10]})
    numbers = {one.symbol: one.median for one in formula.numbers}
    assert written(formula.symbols, numbers, table)[0] == pytest.approx(known.loss(1e8, 1e10), rel=0.01)


def test_intervals_hold_the_numbers_that_made_the_table(law, known):
    rows = parameters_of(law)
    rows = rows[rows["structure"] == "floor + powers"].set_index("symbol")
    assert len(rows) == 7, "five numbers and two that follow from them"
    inside = [
        rows.loc[name, "q0.05"] < value < rows.loc[name, "q0.95"]
        for name in "EAaBb"
        for value in [getattr(known, name)]
    ]
    assert sum(inside) >= 4
    share = known.b / (known.a + known.b)
    assert rows.loc["b/(a+b)", "q0.05"] < share < rows.loc["b/(a+b)", "q0.95"]


def test_tied_exponents_are_alike_and_never_stand_for_the_law(law):
    names = [one.design.structure.name for one in law.mixture.members]
    best = pd.DataFrame({"name": list(dict.fromkeys(names)), "noise": 1.0, "held_out_crps": 9.0})
    best.loc[best["name"] == "floor + tied powers", "held_out_crps"] = 1.0
    assert shown_structure(law, best) == "floor + powers", "the best one is tied"
    rows = parameters_of(law)
    assert not rows.loc[rows["shown"], "structure"].str.contains("tied").any(), "they would look too sure"
    assert not rows.loc[rows["structure"].str.contains("tied"), "symbol"].str.contains("/").any(), "one half beforehand"
    member = next(one for one in law.mixture.members if one.design.structure.tied)
    formula = formula_of(member.design, member.numbers[None], law.inputs, law.link, "loss")
    assert formula.symbols == "loss = E + A / params^a + B / tokens^b, where a ≈ b"
    size, data = (abs(one.median) for piece in formula.pieces for _, one in piece.powers)
    assert size == pytest.approx(data, abs=0.03)


def test_structures_and_correlations(law):
    table = structures_of(law)
    assert table["weight"].sum() == pytest.approx(1) and table["shown"].sum() == 1
    assert table["weight"].is_monotonic_decreasing
    assert not table["structure"].str.contains(r"\b[01]\b(?!\.)").any(), "columns by their names"
    found = correlations_of(law)
    assert (np.diag(found) == pytest.approx(1)) and found.shape[0] == found.shape[1] > 2


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (link_for(np.array([2.0, 3.0])), "y"),
        (link_for(np.array([0.3, 0.6]), lower=0, upper=1, better="higher"), "(1 − y) / y"),
        (link_for(np.array([0.3, 0.6]), lower=0, upper=1, better="higher", chance=0.25), "(1 − y) / (y − 0.25)"),
        (link_for(np.array([0.3, 0.6]), lower=0, upper=1), "y / (1 − y)"),
        (link_for(np.array([2.0, 4.0]), better="higher"), "8 − y"),
        (link_for(np.array([-1.0, 1.0])), "y + 5"),
    ],
)
def test_the_left_side_says_what_the_law_is_a_sum_of(link, words):
    value = float(np.exp(link.latent(np.array([0.5])))[0])
    assert left_of(link, "y") == words
    assert eval(words.replace("−", "-"), {"y": 0.5}) == pytest.approx(value)


def test_figures_are_short():
    assert [figure(number) for number in (1.0, -0.5, 3.14159, 2.5e11)] == ["1", "−0.5", "3.14", "2.5e11"]
