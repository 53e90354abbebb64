"""Decimal commas: one decision for all cells of a table, said, or a line that names the cells that contradict it."""

import pandas as pd
import pytest

from predictdyn.api.law_files import table_of_runs
from predictdyn.laws.decimals import with_points
from predictdyn.laws.finished import finished_runs


def read(tmp_path, text: str):
    file = tmp_path / "runs.csv"
    file.write_text(text, encoding="utf-8")
    return table_of_runs(file, "loss")


# A file, its numbers, and the cell that the line on it names.
FILES = {
    "thousands beside decimals": ("params;loss\n334;2,8066\n2.517;2,4357\n", [[334, 2.8066], [2517, 2.4357]], "2,8066"),
    "only thousands": ("params;loss\n1.234.567;3\n2.517;2\n", [[1234567, 3], [2517, 2]], "1.234.567"),
    "a first row without": ("params;loss\n334;4\n61;2,4357\n", [[334, 4], [61, 2.4357]], "2,4357"),
    "three digits": ("params;loss\n334;2,806\n61;3,774\n", [[334, 2.806], [61, 3.774]], "2,806"),
    "tabs": ("params\tloss\n2.517\t2,8\n61\t3,774\n", [[2517, 2.8], [61, 3.774]], "2,8"),
    "points": ("params;loss\n334;2.806\n61;3.774\n", [[334, 2.806], [61, 3.774]], ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_one_decimal_sign_for_a_file_and_it_is_said(tmp_path, name):
    text, numbers, cell = FILES[name]
    table, lines = read(tmp_path, text)
    assert table.to_numpy().tolist() == numbers
    assert len(lines) == (cell != "") and all(f"the decimal sign is a comma, as in {cell} in row" in x for x in lines)


def test_thousands_by_comma_and_words_stay(tmp_path):
    table, lines = read(tmp_path, "params;data;loss\n2,517,256;a.b,c;2.8066\n334,000;1.5;2.5\n")
    assert table["params"].tolist() == ["2,517,256", "334,000"] and lines == []
    table, _ = read(tmp_path, "params;day;loss\n2,5 B;01.02.2024;2,8\n3,1 B;02.02.2024;2,7\n")
    assert table["params"].tolist() == ["2.5 B", "3.1 B"] and table["day"][0] == "01.02.2024"


def test_cells_that_contradict_each_other_are_named(tmp_path):
    line = r"2,8066 in row 1 of column 'loss' has a decimal comma, and 2.43 in row 2 of column 'loss' a decimal point"
    with pytest.raises(ValueError, match=line):
        read(tmp_path, "params;loss\n334;2,8066\n61;2.43\n")
    assert with_points(pd.DataFrame({"a": ["2,517", "2.517"]}), "\t")[1] == "", "nothing says which"


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["1.234.567", "2.345.678", "3.456.789"], "holds '1.234.567' in row 1, and points between thousands"),
        (["model-70M", "model-160M", "model-1B"], "column 'params' holds 'model-70M' in row 1, which is no number"),
    ],
)
def test_sizes_that_are_no_numbers_are_refused_by_cell(cells, words):
    with pytest.raises(ValueError, match=words):
        finished_runs(pd.DataFrame({"params": cells, "tokens": [1e9, 2e9, 5e9], "loss": [3.0, 2.9, 2.5]}), "loss")


def test_text_with_a_value_a_row_is_not_said_to_name_runs():
    table = pd.DataFrame({"remark": ["good", "bad", "so so"], "tokens": [1e9, 2e9, 5e9], "loss": [3.0, 2.9, 2.5]})
    assert any("remark (is text with another value in each row)" in line for line in finished_runs(table, "loss").notes)
