"""The engine of laws: inputs, links, posteriors, rolling origins and forecasts, on tables whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from predictdyn.laws import law_of
from predictdyn.laws.design import design_for, scene_of
from predictdyn.laws.discrepancy import Discrepancy
from predictdyn.laws.inputs import inputs_from, most_telling
from predictdyn.laws.link import link_for
from predictdyn.laws.origins import origins, places
from predictdyn.laws.posterior import mode_of
from predictdyn.laws.sampling import importance_sample, nuts_sample, smoothed_weights
from predictdyn.laws.structures import structures_for


def chinchilla(n: int = 60, noise: float = 0.01, seed: int = 0) -> pd.DataFrame:
    """Runs of an additive law in two inputs that are called anything but sizes."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"apples": 10 ** rng.uniform(7, 9, n), "pears": 10 ** rng.uniform(9, 11, n)})
    table["y"] = truth(table) * np.exp(noise * rng.standard_normal(n))
    return table


def truth(table: pd.DataFrame) -> np.ndarray:
    return (1.8 + 450 * table["apples"] ** -0.35 + 2000 * table["pears"] ** -0.37).to_numpy()


def fitted(table: pd.DataFrame, target: str, name: str):
    """A structure's design, features, values and mode on a table."""
    inputs = inputs_from(table.drop(columns=target))
    encoded, u = inputs.encode(table), np.log(table[target].to_numpy())
    centres = np.array([centre for _, centre in inputs.logs.values()])
    scene = scene_of(encoded, u, centres, len(inputs.groups), "numbers")
    structure = next(one for one in structures_for(encoded, centres) if one.name == name)
    design = design_for(structure, scene)
    matrix = design.matrix(encoded)
    return design, matrix, u, mode_of(design, matrix, u, seed=0)


def test_numbers_are_logs_shares_or_groups_whatever_they_are_called():
    table = pd.DataFrame(
        {
            "a": [1e6, 1e7, 1e8, 1e9],
            "b": [0.0, 1.0, 2.0, 4.0],
            "c": [0.1, 0.2, 0.3, 0.4],
            "d": [0.9, 0.8, 0.7, 0.6],
            "e": ["x", "y", "x", "y"],
            "f": [3, 3, 3, 3],
            "g": [1e3, 1e4, 1e5, 1e6],
            "h": ["p", "q", "r", "s"],
            "i": [1.0, np.nan, 2.0, 3.0],
        }
    )
    inputs = inputs_from(table)
    assert list(inputs.logs) == ["a", "b"] and inputs.logs["b"][0] == 1.0
    assert inputs.proportions == ("c", "d") and inputs.by == ("e",) and inputs.groups == ("x", "y")
    assert set(inputs.dropped) == {"f", "g", "h", "i"}
    assert inputs.encode(pd.DataFrame({"a": [1e6], "b": [-3.0], "c": [0.5], "d": [0.5], "e": ["new"]})).group[0] == -1


def test_of_many_inputs_those_that_tell_stay():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({f"x{i}": np.exp(rng.standard_normal(80)) for i in range(9)})
    table["colour"] = rng.choice(["red", "blue"], 80)
    u = np.log(table["x3"]) - 2 * np.log(table["x7"]) + (table["colour"] == "red")
    found = most_telling(inputs_from(table), table, u.to_numpy())
    assert {"x3", "x7"} <= set(found.logs) and len(found.logs) == 5 and found.by == ("colour",)


@pytest.mark.parametrize(
    "y, how",
    [
        ([2.0, 3.0, 4.0], {}),
        ([-5.0, -4.0, -4.5], {}),
        ([0.3, 0.5, 0.9], {"lower": 0.0, "upper": 1.0, "better": "higher", "chance": 0.25}),
        ([0.3, 0.5, 0.2], {"lower": 0.0, "upper": 1.0}),
        ([30.0, 50.0], {"better": "higher"}),
    ],
)
def test_links_go_there_and_back_and_fall_as_runs_get_better(y, how):
    link, y = link_for(np.array(y), **how), np.array(y)
    assert_allclose(link.value(link.latent(y)), y, rtol=1e-9)
    better = y.max() if how.get("better") == "higher" else y.min()
    assert link.latent(np.array([better]))[0] == link.latent(y).min()


def test_a_law_gives_back_its_numbers():
    table = chinchilla(200, 0.003)
    design, matrix, u, mode = fitted(table, "y", "floor + powers")
    level, _, first, _, second = mode.numbers
    sd = np.sqrt(np.diag(mode.covariance))
    for found, true, width in zip((level, first, second), (np.log(1.8), -0.35, -0.37), sd[[0, 2, 4]], strict=True):
        assert abs(found - true) < 4 * width < 0.1
    drawn = importance_sample(design, matrix, u, mode, seed=0)
    assert drawn.trusted and drawn.effective > 0.1
    assert_allclose(np.median(drawn.numbers, axis=0), mode.numbers, atol=4 * sd.max())


def test_nuts_agrees_with_importance_sampling():
    design, matrix, u, mode = fitted(chinchilla(120, 0.005), "y", "floor + powers")
    quick = importance_sample(design, matrix, u, mode, seed=0)
    slow = nuts_sample(design, matrix, u, mode, seed=0, chains=2, draws=300)
    assert slow.trusted and quick.trusted and slow.divergent == 0
    sd = slow.numbers.std(axis=0)
    assert_allclose(quick.numbers.mean(axis=0), slow.numbers.mean(axis=0), atol=0.6 * sd.max())
    assert_allclose(quick.numbers.std(axis=0), sd, rtol=0.5)


def test_pareto_k_tells_light_tails_from_heavy_ones():
    rng = np.random.default_rng(0)
    assert smoothed_weights(0.1 * rng.standard_normal(2000))[1] < 0.5
    assert smoothed_weights(4.0 * rng.standard_normal(2000))[1] > 0.7


def test_exponents_of_summands_are_alike_beforehand():
    table = chinchilla()
    design, *_ = fitted(table, "y", "floor + powers")
    covariance = np.linalg.inv(design.precision)
    exponents = [i for i, (feature, _) in enumerate(design.columns) if feature.what == "log"]
    assert len(exponents) == 2
    a, b = exponents
    assert_allclose(covariance[a, b] / np.sqrt(covariance[a, a] * covariance[b, b]), 0.9)
    assert_allclose(np.diag(covariance), design.sd**2)
    covariance[a, b] = covariance[b, a] = 0.0
    assert_allclose(covariance, np.diag(design.sd**2), atol=1e-12)
    # The density by its formula, another road to it.
    numbers = design.mean + 0.3 * np.random.default_rng(0).standard_normal((4, len(design.mean)))
    away = 0.5 * np.einsum("si,ij,sj->s", numbers - design.mean, design.precision, numbers - design.mean)
    assert_allclose(design.away(numbers), away)
    assert_allclose(design.log_width, 0.5 * np.linalg.slogdet(np.linalg.inv(design.precision))[1])
    # In one product nothing is alike: its exponents are of one term.
    product, *_ = fitted(table, "y", "floor + product")
    assert_allclose(np.linalg.inv(product.precision), np.diag(product.sd**2), atol=1e-12)


def test_slopes_are_derivatives():
    design, matrix, _, mode = fitted(chinchilla(), "y", "(floor + powers) x crossed")
    value, jacobian = design.slopes(matrix, mode.numbers[None])
    for j in range(len(mode.numbers)):
        moved = mode.numbers.copy()
        moved[j] += 1e-6
        step = (design.values(matrix, moved[None]) - value) / 1e-6
        assert_allclose(step[0], jacobian[0][:, j], atol=1e-4)


def test_a_process_is_the_dense_gaussian_process():
    table = chinchilla(40)
    encoded = inputs_from(table[["apples", "pears"]]).encode(table)
    part, rest = encoded.rows(np.arange(30)), encoded.rows(np.arange(30, 40))
    discrepancy = Discrepancy(part)
    smoother, crossing = discrepancy.smoothers[1], discrepancy.crossings(rest)[1]
    left, ratio = np.random.default_rng(0).standard_normal((2, 30)), 3.0
    mean, variance = smoother.predicted(crossing, left, ratio)
    c = np.eye(30) + ratio * smoother.kernel(part, part)
    k = ratio * smoother.kernel(rest, part)
    assert_allclose(mean, left @ np.linalg.solve(c, k.T), rtol=1e-6, atol=1e-9)
    assert_allclose(variance, ratio - np.einsum("mn,nm->m", k, np.linalg.solve(c, k.T)), rtol=1e-5, atol=1e-7)
    columns = np.random.default_rng(1).standard_normal((30, 4))
    assert_allclose(
        smoother.gram(columns, smoother.basis.T @ columns, ratio), columns.T @ np.linalg.solve(c, columns), rtol=1e-6
    )
    assert_allclose(smoother.log_determinant(ratio), np.linalg.slogdet(c)[1], rtol=1e-8)


def test_many_rows_have_a_process_of_chosen_ones(monkeypatch):
    table = chinchilla(120)
    encoded = inputs_from(table[["apples", "pears"]]).encode(table)
    exact = Discrepancy(encoded).smoothers[1]
    monkeypatch.setattr("predictdyn.laws.discrepancy.MOST_ROWS", 50)
    monkeypatch.setattr("predictdyn.laws.discrepancy.RANK", 80)
    near = Discrepancy(encoded).smoothers[1]
    column = np.random.default_rng(0).standard_normal(120)
    grams = [one.gram(column[:, None], one.basis.T @ column[:, None], 3.0)[0, 0] for one in (exact, near)]
    assert_allclose(*grams, rtol=0.05)


def test_origins_hold_out_what_lies_towards_the_question_and_part_no_ties():
    table = chinchilla(40)
    encoded = inputs_from(table[["apples", "pears"]]).encode(table)
    far = inputs_from(table[["apples", "pears"]]).encode(pd.DataFrame({"apples": [1e12], "pears": [3e9]}))
    place = places(encoded, far, np.zeros(40))
    assert np.corrcoef(place, np.log(table["apples"]))[0, 1] > 0.9
    for out in origins(np.repeat(np.arange(5.0), 8)):
        held = np.repeat(np.arange(5.0), 8)[out]
        assert out.sum() % 8 == 0 and held.min() > np.repeat(np.arange(5.0), 8)[~out].max()


def test_intervals_cover_what_lies_ten_times_beyond_the_largest_run():
    covered = []
    for seed in range(6):
        table = chinchilla(45, 0.01, seed)
        new = pd.DataFrame({"apples": [5e9, 1e10, 1e9], "pears": [5e11, 1e11, 1e12]})
        low, high = np.quantile(law_of(table, "y", towards=new, seed=seed).draws(new), [0.05, 0.95], axis=1)
        covered += list((low <= truth(new)) & (truth(new) <= high))
        assert ((high - low) / truth(new) < 0.5).all()
    assert np.mean(covered) >= 0.8


def test_noise_has_wide_intervals_and_no_law():
    rng = np.random.default_rng(3)
    table = chinchilla(40)
    table["y"] = 3.0 + 0.3 * rng.standard_normal(40)
    new = pd.DataFrame({"apples": [1e10], "pears": [1e12]})
    draws = law_of(table, "y", towards=new).draws(new)[0]
    low, high = np.quantile(draws, [0.05, 0.95])
    assert low < 2.7 < 3.3 < high


def test_groups_share_what_they_have_in_common():
    rng = np.random.default_rng(0)
    rows = []
    for group, floor in (("a", 1.0), ("b", 1.6), ("c", 1.3)):
        few = 3 if group == "c" else 14
        size = np.geomspace(1e6, 1e9 if few > 3 else 3e6, few)
        rows += [(group, x, floor + 60 * x**-0.3 + 0.003 * rng.standard_normal()) for x in size]
    table = pd.DataFrame(rows, columns=["kind", "size", "y"])
    law = law_of(table, "y")
    there = pd.DataFrame({"kind": ["a", "b", "c", "never met"], "size": [1e9] * 4})
    low, middle, high = np.quantile(law.draws(there), [0.05, 0.5, 0.95], axis=1)
    expected = np.array([1.0, 1.6, 1.3]) + 60 * 1e9**-0.3
    assert_allclose(middle[:2], expected[:2], rtol=0.02)
    assert low[2] < expected[2] < high[2]
    assert high[3] - low[3] > 2 * (high[0] - low[0])
    assert list(law.status(there.assign(size=[1e9, np.nan, -1.0, 0.0]))) == ["ok", *["an input is missing"] * 3]


def test_proportions_have_a_law_of_mixtures():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([2.0, 2.0, 2.0], 40)
    table = pd.DataFrame(p, columns=["u", "v", "w"])
    table["y"] = 2.0 + np.exp(-0.5 - 2.5 * p[:, 0] + 0.3 * p[:, 1]) + 0.002 * rng.standard_normal(40)
    new = pd.DataFrame({"u": [0.9, 0.05], "v": [0.05, 0.9], "w": [0.05, 0.05]})
    expected = 2.0 + np.exp(-0.5 - 2.5 * new["u"] + 0.3 * new["v"])
    low, high = np.quantile(law_of(table, "y", towards=new).draws(new), [0.01, 0.99], axis=1)
    assert ((low < expected) & (expected < high) & (high - low < 0.4)).all()


def test_names_and_units_of_inputs_do_not_matter():
    table = chinchilla(30)
    other = table.rename(columns={"apples": "params", "pears": "tokens"})
    other["params"] /= 1e6
    new = pd.DataFrame({"apples": [2e9], "pears": [3e11]})
    one = law_of(table, "y", towards=new).draws(new)
    two = law_of(other, "y", towards=pd.DataFrame({"params": [2e3], "tokens": [3e11]}))
    there = two.draws(pd.DataFrame({"params": [2e3], "tokens": [3e11]}))
    # A draw in a hundred may be another one, where rounding decides which is taken.
    assert (np.abs(one / there - 1) < 1e-6).mean() > 0.95


def test_an_input_that_never_varied_widens_intervals():
    table = chinchilla(30).assign(apples=1e8)
    law = law_of(table, "y")
    same, larger = law.draws(pd.DataFrame({"apples": [1e8, 1e11], "pears": [1e11, 1e11]}))
    assert law.fixed == {"apples": 1e8} and larger.std() > 3 * same.std()


def test_what_cannot_be_fitted_is_said():
    table = chinchilla(30)
    with pytest.raises(ValueError, match="needs 5 finished runs with all inputs, got 3"):
        law_of(table.head(3), "y")
    with pytest.raises(ValueError, match="needs an input that varies: apples has one value"):
        law_of(table.assign(apples=1.0)[["apples", "y"]], "y")
