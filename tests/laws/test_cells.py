"""Text in columns of numbers: what is read, what is refused, and where units are mixed."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.laws.cells import column, mixed_units, number


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("7B", 7e9), ("1.3e9", 1.3e9), ("70M", 7e7), ("2,048", 2048.0), ("12%", 0.12), ("1.5T", 1.5e12), ("3 k", 3e3),
        ("13.31 billion", 1.331e10), ("-4", -4.0), (".5", 0.5), ("1_000", 1000.0), (8, 8.0), (np.float32(0.5), 0.5),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(cell, value):
    assert number(cell) == pytest.approx(value)


@pytest.mark.parametrize("cell", ["", " n/a ", "NaN", None, float("nan"), pd.NA, "-"])
def test_blank_cells_are_nan(cell):
    assert np.isnan(number(cell))


@pytest.mark.parametrize("cell", ["seven", "7Bx", "7B params", "1e", "2024-01-01"])
def test_other_text_is_refused(cell):
    with pytest.raises(ValueError, match="expected a number"):
        number(cell)


def test_one_word_among_numbers_is_a_mistake_and_is_named():
    table = pd.DataFrame({"params": ["7M", "70M", "seven", "1B", "2B"]})
    with pytest.raises(ValueError, match=r"column 'params' holds 'seven' in row 3, where 4 of 5 cells are numbers"):
        column(table, "params")


def test_words_are_text_and_truth_values_are_no_numbers():
    table = pd.DataFrame({"data": ["c4", "pile", "c4"], "tied": [True, False, True]})
    assert column(table, "data") is None and column(table, "tied") is None


def test_units_seem_mixed_where_nothing_lies_between():
    assert "between 70 (2 row(s)" in mixed_units("params", np.array([13.0, 70.0, 1e9, 7e9]))
    assert mixed_units("params", np.array([1e6, 3e7, 7e9, np.nan])) == ""
    assert mixed_units("params", np.array([0.0, 7e9])) == ""
