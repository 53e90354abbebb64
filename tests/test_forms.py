"""Every form keeps the contract of forms: finite, inside its bounds, and at its end what it says."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.forms import BY_NAME, FORMS, Form

WIDE = np.concatenate([np.geomspace(1e-6, 1, 40), np.geomspace(1.1, 1e9, 40)])
FEW, ENDS = np.geomspace(0.01, 3, 50), np.array([1e130, 1e260])
forms = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)


@cache
def columns(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All g at the nodes, then the corners of the prior (m, j, t), at WIDE, FEW and ENDS."""
    form = BY_NAME[name]
    x, nodes = np.concatenate([WIDE, FEW, ENDS]), np.concatenate([form.nodes(), corners(form)])
    found = form.on_grid(x, nodes).swapaxes(0, 1)
    wide, few, ends = np.split(found, [len(WIDE), len(WIDE) + len(FEW)], axis=2)
    m = len(form.nodes())
    return wide, few[:m], ends[:m]


def corners(form: Form) -> np.ndarray:
    """Every corner of the prior's box (2^k, k)."""
    ends = [(prior.low, prior.high) for prior in form.shape.values()]
    return np.array(np.meshgrid(*ends, indexing="ij")).reshape(len(ends), -1).T if ends else np.zeros((1, 0))


def test_there_are_enough_forms_and_names_are_their_own():
    assert len(FORMS) >= 20 and len(BY_NAME) == len(FORMS)


@forms
def test_finite_everywhere(form):
    found = columns(form.name)[0]
    assert found.shape[1:] == (form.gaps, len(WIDE)) and np.isfinite(found).all()
    assert not form.fixed or form.gaps == 1


@forms
def test_nodes_are_inside_the_bounds_and_cut_the_prior_evenly(form):
    nodes, finer = form.nodes(), form.nodes(2)
    assert nodes.shape == (np.prod([prior.nodes for prior in form.shape.values()], dtype=int), len(form.shape))
    for i, prior in enumerate(form.shape.values()):
        assert (nodes[:, i] > prior.low).all() and (nodes[:, i] < prior.high).all()
        assert len(np.unique(finer[:, i])) == 2 * len(np.unique(nodes[:, i]))
        steps = np.diff(np.log(np.unique(nodes[:, i])) if prior.log else np.unique(nodes[:, i]))
        assert_allclose(steps, steps.mean(), rtol=1e-6)


@forms
def test_slopes_in_the_shape_are_finite(form):
    if not form.shape:
        return
    x = np.geomspace(1e-5, 1e4, 30)
    for i in range(len(form.shape)):
        near = 1e-5 * np.eye(len(form.shape))[i]
        slopes = form.on_grid(x, form.nodes() * (1 + near)) - form.on_grid(x, form.nodes() * (1 - near))
        assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0, "each number matters"


@forms
def test_the_end_is_as_stated(form):
    before, after = np.moveaxis(columns(form.name)[2], 2, 0)
    if form.end == "level":
        assert (np.abs(after - before) < 0.02 + 0.02 * np.abs(before)).all()
        return
    grown = np.abs(after - before).max(axis=1)
    assert (grown > 0.3).all(), "does not come to a level"
    # ln x doubles.
    doubled = (np.abs(after) <= 2.05 * np.abs(before) + 1).all()
    assert doubled == (form.end == "logarithm")


@forms
def test_no_g_is_another_or_a_constant(form):
    for one in columns(form.name)[1]:
        centred = one - one.mean(1, keepdims=True)
        size = np.linalg.norm(centred, axis=1)
        assert (size > 0).all()
        unit = centred / size[:, None]
        assert np.linalg.matrix_rank(unit, tol=1e-5) == form.gaps


def test_power_is_its_formula_and_its_limit():
    x = np.array([0.01, 0.5, 1.0, 7.0])
    assert_allclose(BY_NAME["pow3"].on_grid(x, np.array([0.7])[None])[0, 0], (1 - x**-0.7) / 0.7)
    assert_allclose(BY_NAME["pow3"].on_grid(x, np.array([1e-6])[None])[0, 0], np.log(x), rtol=1e-4, atol=1e-9)


def test_m4_solves_its_equation():
    x, (alpha, rate, power) = np.geomspace(1e-3, 1e3, 20), (0.7, 2.0, 1.3)
    w = BY_NAME["m4"].on_grid(x, np.array([alpha, rate, power])[None])[0, 0]
    assert_allclose(w / (1 - w) ** alpha, rate * x**-power, rtol=1e-6)


def test_floor_is_a_power_law_with_a_floor_in_logarithms():
    x = np.geomspace(0.01, 100, 9)
    found = BY_NAME["floor"].on_grid(x, np.array([0.3, 0.5])[None])[0, 0]
    assert_allclose(np.exp(found), 0.3 + 0.7 * x**-0.5)
