"""Schedule laws: sums over every step, published numbers, slopes, and rates that are none."""

import re
import time

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from predictdyn.fitting.schedule_laws import (
    FUNCTIONAL,
    LAWS,
    MOMENTUM,
    MULTI_POWER,
    RateCurve,
    Reference,
    falling_pieces,
    published,
    rate_curve,
    stacked,
    terms,
)

WARM_UP, PEAK, END = 2160, 3e-4, 3e-5
# Table of the multi-power law's paper (arXiv 2503.12811): L0, A, alpha, B, C, beta, gamma, and the mean relative error
# on the six schedules that were not fitted.
GOLDEN = {
    "csv_25": ((3.040, 0.525, 0.508, 363.8, 2.066, 0.583, 0.641), 0.00110),
    "csv_100": ((2.651, 0.601, 0.453, 437.9, 2.132, 0.598, 0.655), 0.00142),
}


def planned(name: str) -> RateCurve:
    """The exact schedule of a curve of the public tables, from its name."""
    shape, *rest = name.split("_")
    start = [0.0, float(WARM_UP)]
    if shape == "wsdcon":
        return rate_curve(np.array([*start, 8000, 8001, 16000]), np.array([0, PEAK, PEAK, *[int(rest[0]) * 1e-5] * 2]))
    total, change = float(rest[-1]), float(rest[0])
    if shape == "constant":
        return rate_curve(np.array([*start, total]), np.array([0, PEAK, PEAK]))
    begin = WARM_UP if shape == "cosine" else change
    step = np.linspace(begin, total, 401)
    way = (step - begin) / (total - begin)
    rate = {
        "cosine": END + (PEAK - END) * (1 + np.cos(np.pi * way)) / 2,
        "wsd": PEAK ** (1 - way) * END**way,
        "wsdld": PEAK + (END - PEAK) * way,
    }[shape]
    before = start if shape == "cosine" else [*start, begin]
    return rate_curve(np.concatenate([before[:-1], step]), np.concatenate([[0.0] + [PEAK] * (len(before) - 2), rate]))


def numbers(golden: tuple[float, ...], unit: Reference) -> np.ndarray:
    """The published numbers of the multi-power law in the terms of ours, (1, k)."""
    limit, size, alpha, drop, speed, beta, gamma = golden
    level = limit + size * unit.area**-alpha
    share = size * unit.area**-alpha / level
    fitted = (
        np.log(level), np.log(share / (1 - share)), np.log(alpha), np.log(drop * unit.peak / level), 0.0,
        np.log(speed * unit.peak**-gamma * unit.area), np.log(beta), gamma,
    )  # fmt: skip
    return np.array([fitted])


@pytest.mark.parametrize("size", GOLDEN)
def test_published_numbers_give_the_published_errors(real_data, size):
    golden, published_error = GOLDEN[size]
    unit = Reference(PEAK, 7.0, 24000.0)
    errors = []
    for file in sorted((real_data / "multi_power_law" / size).glob("*.csv")):
        if file.stem not in ("cosine_24000", "constant_24000", "wsdcon_9"):
            table = pd.read_csv(file)
            given = terms(planned(file.stem), table["step"].to_numpy(float), unit, warm_up=True)
            law = np.exp(MULTI_POWER.values(numbers(golden, unit), given)[0])
            errors.append(np.mean(np.abs(law / table["loss"].to_numpy() - 1)))
    assert len(errors) == 6
    # The numbers are published with three digits: half of the last one of L0 alone moves an error by 2e-4.
    assert_allclose(np.mean(errors), published_error, atol=1.5e-4)


def sums(law: str, rate: np.ndarray, at: int, p: dict[str, float]) -> float:
    """The loss at a step by the published sums over every single step; rate (t,) begins at step 0, at its peak."""
    eta, area = rate[: at + 1], np.cumsum(rate[: at + 1])
    loss = p["L0"] + p["A"] * area[-1] ** -p["alpha"]
    momentum, second = 0.0, 0.0
    for k in range(1, at + 1):
        fall = eta[k - 1] - eta[k]
        momentum = p["lambda"] * momentum + fall
        second += momentum
        since = area[-1] - area[k - 1]
        if law == "multi_power":
            loss -= p["B"] * fall * (1 - (1 + p["C"] * eta[k] ** -p["gamma"] * since) ** -p["beta"])
        if law == "functional":
            weight = p["ratio"] + (area[k] / area[-1] * p["unit"]) ** -p["alpha"]
            loss -= p["B"] * fall * weight / (1 + p["ratio"]) * (1 - (1 + p["C"] * since) ** -p["beta"])
    return loss - p["B"] * (1 - p["lambda"]) * second if law == "momentum" else loss


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_law_is_the_sum_over_every_step(law):
    n = 3000
    step = np.arange(n + 1.0)
    eta = 0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * np.clip(step - 500, 0, None) / (n - 500)))
    rate = RateCurve(step, eta)
    unit = Reference(1.0, float(rate.area(np.array([float(n)]))[0]), float(n))
    p = {"L0": 2.0, "alpha": 0.5, "B": 0.15, "C": 0.02, "beta": 0.6, "gamma": 0.5, "lambda": 0.995, "ratio": 0.7}
    p |= {"A": 10.0, "unit": 1.0}
    level = p["L0"] + p["A"] * unit.area ** -p["alpha"]
    share = p["A"] * unit.area ** -p["alpha"] / level
    own = {
        "momentum": [np.log(-1 / np.log(p["lambda"]) / n)],
        "multi_power": [np.log(p["C"] * unit.area), np.log(p["beta"]), p["gamma"]],
        "functional": [np.log(p["C"] * unit.area), np.log(p["beta"]), np.log(p["ratio"])],
    }[law.name]
    fitted = np.array([[np.log(level), np.log(share / (1 - share)), np.log(0.5), np.log(p["B"] / level), 0.0, *own]])
    asked = np.array([800.0, 1500.0, 2500.0, 3000.0])
    found = np.exp(law.values(fitted, terms(rate, asked, unit))[0])
    if law is FUNCTIONAL:
        # T_j in the units of the whole run, so that the sum and the law weigh the same.
        wanted = []
        for one in asked:
            p["unit"] = float(rate.area(np.array([one]))[0]) / unit.area
            wanted.append(sums(law.name, eta, int(one), p))
    else:
        wanted = [sums(law.name, eta, int(one), p) for one in asked]
    assert_allclose(found, wanted, rtol=4e-4)
    # The falls matter: without them the losses would be far from these.
    assert (p["L0"] + p["A"] * rate.area(asked) ** -0.5 - wanted)[-1] > 0.05


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_slopes_are_those_of_the_values(law):
    rate = rate_curve(np.array([100.0, 600.0, 601.0, 1000.0]), np.array([1.0, 1.0, 0.3, 0.05]))
    step = np.array([150.0, 590.0, 640.0, 800.0, 1000.0])
    given = terms(rate, step, Reference(1.0, 800.0, 1000.0), warm_up=law.warm_up)
    at = np.array([[number.mean for number in law.numbers]])
    at[0, 4] = 0.2
    _, slope = law.slopes(at, given)
    for k in range(at.shape[1]):
        h = 1e-5 * np.eye(at.shape[1])[k]
        wanted = (law.values(at + h, given) - law.values(at - h, given)) / 2e-5
        assert_allclose(slope[0, :, k], wanted[0], rtol=2e-4, atol=1e-9)


def test_a_law_without_bend_is_as_published():
    assert all(abs(one.mean) <= 1e-12 and one.sd < 1e-6 for one in published(MOMENTUM).common if one.name == "bend")
    assert published(MOMENTUM).own == MOMENTUM.own


def test_long_curves_cost_hardly_more():
    unit = Reference(1.0, 1.0, 1.0)

    def seconds(n: int) -> tuple[float, int]:
        step = np.arange(1.0, n + 1)
        rate = rate_curve(step, 0.5 * (1 + np.cos(np.pi * step / (n + 1))))
        asked = np.linspace(0.1 * n, n, 50)
        best = np.inf
        for _ in range(3):
            begin = time.process_time()
            pairs = len(terms(rate, asked, unit).fall)
            best = min(best, time.process_time() - begin)
        return best, pairs

    (_, few), (long, many) = seconds(2_000), seconds(72_000)
    assert many < 1.2 * few  # the steps between values do not count
    assert long < 0.1


def test_a_jump_is_one_fall_and_flat_parts_are_none():
    rate = rate_curve(np.array([10.0, 500.0, 501.0, 1000.0]), np.array([1.0, 1.0, 0.2, 0.2]))
    given = terms(rate, np.array([400.0, 600.0, 900.0]), Reference(1.0, 1.0, 1.0))
    assert_allclose(given.summed(given.fall), [0.0, 0.8, 0.8])
    assert given.first.tolist()[0] == 0 and given.steps.min() > 90
    both = stacked([given, given])
    assert_allclose(both.summed(both.fall), [0.0, 0.8, 0.8] * 2)
    assert set(falling_pieces(rate)) >= {10.0, 500.0, 501.0, 1000.0}


@pytest.mark.parametrize(
    ("step", "rate", "words"),
    [
        ([1.0, 2.0], [0.1, np.nan], "must be finite and not negative, found nan at step 2"),
        ([1.0, 2.0], [0.1, -1.0], "must be finite and not negative, found -1 at step 2"),
        ([2.0, 2.0], [0.1, 0.1], "must rise from zero or above"),
        ([1.0, 2.0], [0.0, 0.0], "always zero"),
        ([1.0, 2.0], [0.1], "as many rates as steps, found 1 and 2"),
        ([], [], "as many rates as steps, found 0 and 0"),
    ],
)
def test_a_rate_that_is_none_is_told_in_one_line(step, rate, words):
    with pytest.raises(ValueError, match=re.escape(words)) as told:
        rate_curve(np.array(step), np.array(rate))
    assert "\n" not in str(told.value)
