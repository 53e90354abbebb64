"""Joint events: sentences are read as they are meant, wrong ones end in one line, and probabilities are means."""

import itertools

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import Metric
from predictdyn.events import COMPARED, Bound, outside, parse, probabilities, settled
from predictdyn.forecast import Prediction

KNOWN = ["acc", "accuracy gap", "val/loss", 'odd "name"', "land and sea"]


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("acc>0.9", [("acc", ">", 0.9)]),
        (" acc >= 1e-3  AND val/loss<-2 ", [("acc", ">=", 1e-3), ("val/loss", "<", -2.0)]),
        ("\"accuracy gap\" <= .05 and 'acc' > -0.05", [("accuracy gap", "<=", 0.05), ("acc", ">", -0.05)]),
        ("'odd \"name\"' < 1 and 'land and sea' > 0", [('odd "name"', "<", 1.0), ("land and sea", ">", 0.0)]),
    ],
)  # fmt: skip
def test_a_sentence_is_read(text, bounds):
    event = parse(text, KNOWN)
    assert event.text == text and event.bounds == tuple(Bound(*one) for one in bounds)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found '' where a bound was expected"),
        ("acc", "found 'acc' where a bound was expected"),
        ("0.9 < acc", "names metric '0.9'; the metric comes first: write 'metric > 0.9'; an event here"),
        ("accuracy gap < 1", "found 'accuracy gap < 1' where a bound was expected"),
        ("acc = 1", "found 'acc = 1' where a bound was expected (signs are <, <=, > and >=)"),
        ("(acc > 0.9)", "parentheses are not allowed; bounds are joined by 'and' alone"),
        ("acc > 0.9 and (val/loss < 1)", "parentheses are not allowed"),
        ("acc > (0.9)", "parentheses are not allowed"),
        ("acc > 0.9)", "parentheses are not allowed"),
        ("acc > 0.5 < 1", "a bound has one sign; write 'metric > low and metric < high'"),
        ("0.5 < acc < 0.9", "the metric comes first: write 'metric > 0.5'"),
        ("accuracy gap > 1", "a name with spaces is put in quotes: 'accuracy gap'"),
        ("acc > 1 or acc < 0", "'or', 'not' and signs for them are not allowed"),
        ("ac > 1", "names metric 'ac'; did you mean 'acc'? an event here can name acc, "),
        ("acc > much", "'much' is not a number"),
        ("acc > nan", "'nan' is not a number"),
        ("acc > 0.9 or acc < 0.1", "found 'or acc < 0.1' where 'and' was expected"),
        ("acc > 0.9 and", "found '' where a bound was expected"),
        ("acc > 90%", "'90%' is not a number (no percent sign: of a metric from 0 to 1, 90 % is 0.9)"),
        ("acc > 90 %", "found '%' where 'and' was expected (no percent sign"),
        ("acc > 0,9", "'0,9' is not a number (the decimal sign is a point: 0.9)"),
        ("acc > 0.9, val/loss < 1", "'0.9,' is not a number (bounds are joined by 'and', not by a comma)"),
        ("acc \u2265 0.9", "where a bound was expected (signs are <, <=, > and >=)"),
        ("acc => 0.9", "where a bound was expected (signs are <, <=, > and >=)"),
        ("\u201caccuracy gap\u201d > 0.9", "where a bound was expected (quotes are ' or \")"),
        ("acc > 0.9 and ", "found '' where a bound was expected"),
        ("acc > 0.9 < 1", "found '< 1' where 'and' was expected"),
        ("lost > 0.9", "names metric 'lost'; an event here can name acc, "),
        ("'acc > 0.9", "where a bound was expected"),
    ],
)
def test_what_is_no_event_ends_in_one_line(text, said):
    with pytest.raises(ValueError, match="event ") as error:
        parse(text, KNOWN)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("bounds", "sentence", "said"),
    [
        ((0, 1), "acc > 80", ["80 lies outside 0 to 1, the range of acc; did you mean 0.8?"]),
        ((0, 1), "acc < -0.1", ["-0.1 lies outside 0 to 1, the range of acc"]),
        ((0, 100), "acc > 0.8", ["0.8 lies below 1 % of 0 to 100, the range of acc; did you mean 80?"]),
        ((0, None), "acc > -1 and acc < 2", ["-1 lies outside the values from 0, the range of acc"]),
        ((None, 1), "acc > 200", ["200 lies outside the values up to 1, the range of acc"]),
        ((0, 1), "acc > 1", ["no value of acc is > 1, since its range is 0 to 1"]),
        ((0, 1), "acc >= 0", ["every value of acc is >= 0, since its range is 0 to 1"]),
        ((0, None), "acc < 0", ["no value of acc is < 0, since its range is the values from 0"]),
        ((0, 1), "acc >= 1 and acc > 0 and acc <= 1", ["every value of acc is <= 1, since its range is 0 to 1"]),
        ((None, None), "acc > 80", []),
    ],
)  # fmt: skip
def test_a_number_that_no_value_can_reach_is_told(bounds, sentence, said):
    found = outside(parse(sentence, KNOWN), {"acc": Metric("acc", "capability", *bounds)})
    assert found == [f"event {sentence!r}: {line}" for line in said]


@pytest.mark.parametrize("bounds", [(0, 1), (None, 1), (0, None), (None, None)])
def test_a_bound_is_settled_where_all_values_or_none_meet_it(bounds):
    """Against a count over values of the range, ends included."""
    low, high = bounds
    values = np.array([one for one in (-9.0, -1, 0, 0.2, 0.5, 1, 2, 9) if not (low == 0 > one or high == 1 < one)])
    for sign, number in itertools.product(COMPARED, (-1.0, 0.0, 0.5, 1.0, 2.0)):
        held = COMPARED[sign](values, number)
        sure = True if held.all() else None if held.any() else False
        assert settled(Bound("acc", sign, number), Metric("acc", "capability", *bounds)) is sure, (sign, number)


@pytest.mark.parametrize(
    ("sentence", "torn"),
    [
        ("acc > 0.9 and acc < 0.5", True),
        ("acc >= 0.5 and acc <= 0.5", False),
        ("acc > 0.5 and acc <= 0.5", True),
        ("acc >= 0.5 and acc > 0.3 and acc < 0.5", True),
        ("acc > 0.9 and val/loss < 0.5", False),
    ],
)
def test_bounds_that_rule_each_other_out_are_told(sentence, torn):
    said = f"event {sentence!r} never holds: its bounds on acc rule each other out"
    assert outside(parse(sentence, KNOWN), {}) == [said] * torn


@pytest.mark.parametrize("text", [None, 5, ["acc > 0.9"]])
def test_what_is_no_text_is_no_event(text):
    with pytest.raises(ValueError, match="an event is a sentence such as 'metric > number', got"):
        parse(text, KNOWN)


def forecast(joint=True):
    target = pd.DataFrame(
        [("a", "acc", 5), ("a", "acc", 10), ("a", "loss", 10), ("b", "acc", 10)], columns=["run", "metric", "step"]
    )
    draws = np.array([[9.0] * 4, [0.1, 0.6, 0.7, 0.8], [3.0, 1.0, 1.0, 3.0], [0.0, 0.0, 0.6, 0.0]])
    return Prediction(target, draws, np.array(["ok", "ok", "too short", "ok"], dtype=object), joint)


def test_a_probability_is_the_share_of_draws_in_which_all_bounds_hold():
    events = [parse("acc > 0.5 and loss < 2", ["acc", "loss"]), parse("acc >= 0.6", ["acc"])]
    found = probabilities(forecast(), events)
    assert found["run"].tolist() == ["a", "b", "a", "b"]
    np.testing.assert_array_equal(found["probability"], [0.5, np.nan, 0.75, 0.25])
    assert found["status"].tolist() == ["too short", "no forecast of loss", "ok", "ok"]


def test_draws_that_are_not_joint_have_no_joint_probability():
    with pytest.raises(ValueError, match=r"event 'acc > 0\.5 and loss < 2' needs joint draws"):
        probabilities(forecast(joint=False), [parse("acc > 0.5 and loss < 2", ["acc", "loss"])])
    one = probabilities(forecast(joint=False), [parse("acc > 0.5 and acc < 0.75", ["acc"])])
    assert one["probability"].tolist() == [0.5, 0.25]
