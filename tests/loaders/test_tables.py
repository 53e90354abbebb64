"""Tables: names without blanks, headers that come again, columns that only count rows, separators, damage, width."""

from __future__ import annotations

import gzip
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictdyn.loaders import load
from predictdyn.loaders.engine.companions import read_metrics, read_runs
from predictdyn.loaders.files.csv_rows import AGAIN, WRONG_LINES, csv_names, csv_rows
from predictdyn.loaders.files.json_rows import DEEPEST, flat, json_rows
from predictdyn.loaders.files.json_rows import WRONG_LINES as WRONG_JSON
from predictdyn.loaders.files.tables import (
    COUNTED,
    NAMED,
    Table,
    finite,
    header,
    is_index,
    is_table,
    read_table,
    stem,
    text,
)


def table(folder: Path, content: str | bytes, name: str = "a.csv") -> Table:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(folder / name)


def refusal(folder: Path, content: str | bytes, name: str = "a.csv") -> str:
    with pytest.raises(ValueError) as caught:
        table(folder, content, name)
    message = str(caught.value)
    assert type(caught.value) is ValueError and "\n" not in message and len(message) < 500
    assert message.startswith(str(folder / name))
    return message


# Names


def test_blanks_around_names_and_numbers_are_padding(tmp_path: Path) -> None:
    padded = "".join(f"{name:>20}," for name in ("epoch", "loss"))[:-1]
    read = table(tmp_path, f"{padded}\n{'1':>20},{'2.5':>20}\n{'2':>20},{'2.25':>20}\n")
    assert list(read.cells) == ["epoch", "loss"] == header(tmp_path / "a.csv")
    assert finite(read, "loss").tolist() == [2.5, 2.25] and read.notes == {}
    assert csv_names((tmp_path / "a.csv").read_bytes()) == ["epoch", "loss"]
    assert [row["epoch"].strip() for row in csv_rows((tmp_path / "a.csv").read_bytes()).rows] == ["1", "2"]  # type: ignore[attr-defined]


def test_two_names_that_differ_in_blanks_are_one_name(tmp_path: Path) -> None:
    assert "found 'loss' more than once" in refusal(tmp_path, "step,loss, loss\n1,2,3\n")
    with pytest.raises(ValueError, match="'loss' more than once"):
        csv_rows(b"step,loss, loss\n1,2,3\n")
    with pytest.raises(ValueError, match="'loss' is there twice"):
        dict(flat({"loss": 1, " loss": 2}))
    with pytest.raises(ValueError, match="'loss' is there twice"):
        dict(flat({"loss ": 1, " loss": 2}))
    assert json_rows(b'{"loss": 1, "loss ": 2}\n{" loss ": 3}\n').rows == [{"loss": 3}]


def test_tables_beside_lose_their_padding_too(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("run , family, last_step, width\n a,  f , 100, 64\n b , f, 90, 128\n")
    runs = read_runs(tmp_path / "runs.csv")
    assert runs.index.tolist() == ["a", "b"] and runs["family"].tolist() == ["f", "f"]
    assert runs["last_step"].tolist() == [100, 90] and runs["width"].tolist() == [64, 128]
    (tmp_path / "metrics.csv").write_text("metric, kind , upper\n acc , capability, 1 \n")
    assert read_metrics(tmp_path / "metrics.csv")["acc"].upper == 1


def test_text_keeps_what_is_inside() -> None:
    assert text(pd.Series([" a b ", "001", None, "\t"], dtype=object)).tolist()[:2] == ["a b", "001"]
    assert text(pd.Series([" a b ", "001", None, "\t"], dtype=object)).isna().tolist() == [False, False, True, True]


# Headers that come again


def test_a_header_in_the_midst_is_no_row(tmp_path: Path) -> None:
    content = "epoch,loss,time\n0,4.5,00:17\n1,3.5,00:18\n epoch,loss , time\n0,2.5,00:17\n\ufeffepoch,loss,time\n"
    read = table(tmp_path, content)
    assert read.cells["loss"].tolist() == ["4.5", "3.5", "2.5"] and read.line.tolist() == [2, 3, 5]
    assert read.notes == {AGAIN: 2} and read.where(2).endswith("line 5")
    rows, dropped = csv_rows(content.encode())
    assert [row["loss"] for row in rows] == ["4.5", "3.5", "2.5"] and dropped == Counter({AGAIN: 2})


def test_a_row_of_numbers_like_its_header_is_a_row(tmp_path: Path) -> None:
    read = table(tmp_path, "0,1\n0,1\n0,1\n")
    assert len(read.cells) == 2 and read.notes == {}


def test_a_row_with_one_other_cell_is_no_header(tmp_path: Path) -> None:
    assert len(table(tmp_path, "step,loss\n1,2\nstep,lass\n").cells) == 2


# Columns that count rows


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "Unnamed: 0.1", "index", "level_0", "  "])
@pytest.mark.parametrize("counts", [[0, 1, 2], [1, 2, 3], [0, 1, 0], [0]])
def test_a_column_that_counts_rows_is_no_metric(tmp_path: Path, name: str, counts: list[int]) -> None:
    content = f"{name},step,loss\n" + "".join(f"{i},{10 * j},2.5\n" for j, i in enumerate(counts))
    read = table(tmp_path, content)
    assert list(read.cells) == ["step", "loss"] and read.notes == {COUNTED: 1}


def test_an_index_that_is_asked_for_stays(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("index,loss\n0,2.5\n1,2.25\n")
    assert list(read_table(tmp_path / "a.csv", keep=["index"]).cells) == ["index", "loss"]
    (tmp_path / "a.csv").write_text(",loss\n0,2.5\n1,2.25\n")
    assert list(read_table(tmp_path / "a.csv", keep=["column 1"]).cells) == ["column 1", "loss"]


def test_a_column_without_a_name_that_holds_something_else_is_called_by_its_place(tmp_path: Path) -> None:
    read = table(tmp_path, "step,,loss,\n1,0.5,2.5,\n2,0.25,2.25,\n")
    assert list(read.cells) == ["step", "column 2", "loss"] and read.notes == {NAMED: 1}  # the last is a comma too many
    assert header(tmp_path / "a.csv") == ["step", "loss"]
    assert "'column 2'" in refusal(tmp_path, "step,,column 2\n1,.5,2\n")


def test_what_does_not_count_rows_is_no_index() -> None:
    for name, cells in (
        ("index", ["0", "2"]),
        ("", ["0", "1.5"]),
        ("Unnamed: 0", ["0", ""]),
        ("index", ["0", "x"]),
        ("loss", ["0", "1"]),
        ("indexes", ["0", "1"]),
        ("", ["5", "9", "6"]),
        ("index", ["5", "6"]),
        ("", []),
    ):
        assert not is_index(name, pd.Series(cells, dtype=object)), (name, cells)


def test_what_pandas_writes_comes_back(tmp_path: Path) -> None:
    frame = pd.DataFrame({"step": [10, 20, 30], "loss": [2.5, 1 / 3, 1e-300]})
    frame.to_csv(tmp_path / "a.csv")
    frame.to_csv(tmp_path / "b.tsv", sep="\t")
    frame.to_csv(tmp_path / "c.csv", sep=";")
    frame.reset_index().to_parquet(tmp_path / "d.parquet")
    pd.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "e.csv.gz")  # Unnamed: 0 beside a second index
    pd.concat([frame[:2], frame[2:].reset_index(drop=True)]).to_csv(tmp_path / "f.tsv.gz", sep="\t")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 6
    for file in files:
        read = read_table(file)
        assert is_table(file) and list(read.cells) == ["step", "loss"], file
        assert finite(read, "loss").tolist() == [2.5, 1 / 3, 1e-300] and finite(read, "step").tolist() == [10, 20, 30]
        assert {"step", "loss"} <= set(header(file)) and stem(file) in "abcdef"


# Separators


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("a.tsv", "step\tloss, train\n1\t2\n", ["step", "loss, train"]),
        ("a.tsv", "step,loss\n1,2\n", ["step", "loss"]),
        ("a.csv", "step\tloss\n1\t2\n", ["step", "loss"]),
        ("a.csv", "step;loss, train\n1;2\n", ["step", "loss, train"]),
        ("a.csv", "step,a;b;c\n1,2\n", ["step", "a;b;c"]),
        ("a.csv", 'step,"a;b"\n1,2\n', ["step", "a;b"]),
        ("a.csv", "step\n1\n", ["step"]),
    ],
)
def test_the_separator_is_found(tmp_path: Path, name: str, content: str, names: list[str]) -> None:
    read = table(tmp_path, content, name)
    assert list(read.cells) == names == header(tmp_path / name)
    assert read.cells.iloc[0].tolist() == ["1", "2"][: len(names)]
    if name == "a.csv":
        assert csv_names(content.encode()) == names and list(csv_rows(content.encode()).rows[0]) == names


def test_a_decimal_comma_is_refused_with_what_to_do(tmp_path: Path) -> None:
    message = refusal(tmp_path, "step;loss\n1;2\n2;1,75\n")
    assert "line 3" in message and "'1,75'" in message and "decimal comma" in message


# Lines and damage


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way(tmp_path: Path, end: str) -> None:
    content = end.join(["step,loss", "1,2.5", "2,2.25", ""])
    read = table(tmp_path, content)
    assert header(tmp_path / "a.csv") == list(read.cells) == ["step", "loss"] == csv_names(content.encode())
    assert finite(read, "loss").tolist() == [2.5, 2.25] and read.line.tolist() == [2, 3]
    assert [row["loss"] for row in csv_rows(content.encode()).rows] == ["2.5", "2.25"]
    assert len(json_rows(end.join(['{"a": 1}', '{"a": 2}', ""]).encode()).rows) == 2


def test_mixed_ends_keep_every_row(tmp_path: Path) -> None:
    read = table(tmp_path, "step,loss\r1,2.5\r\n2,2.25\n3,2\r")
    assert read.cells["step"].tolist() == ["1", "2", "3"] and read.line.tolist() == [2, 3, 4]


def test_a_return_in_a_name_splits_the_header(tmp_path: Path) -> None:
    assert "line 2: expected 2 cells" in refusal(tmp_path, "step,lo\rss\n1,2\n")
    assert header(tmp_path / "a.csv") == ["step", "lo"]
    assert csv_rows(b"step,lo\rss\n1,2\n").dropped == Counter({WRONG_LINES: 1})


def test_zeros_that_a_crash_left_are_named(tmp_path: Path) -> None:
    assert "line 3: a NUL byte" in refusal(tmp_path, "step,loss\n1,2\n2,\0\0\n")
    rows, dropped = csv_rows(b"step,loss\n1,2\n2,\0\0\n\0\0\0\n3,4\n")
    assert [row["step"] for row in rows] == ["1", "3"] and dropped == Counter({WRONG_LINES: 1})


def test_a_cell_that_is_too_large_is_one_line(tmp_path: Path) -> None:
    large = '"' + "x" * 200_000 + '"'
    assert "line 2: not a CSV file (field larger than field limit" in refusal(tmp_path, f"step,note\n1,{large}\n")
    assert "line 1" in refusal(tmp_path, f"step,{large}\n1,2\n")
    assert header(tmp_path / "a.csv") == [] == csv_names(f"step,{large}\n1,2\n".encode())
    rows, dropped = csv_rows(f"step,note\n1,{large}\n2,b\n".encode())
    assert [row["step"] for row in rows] == ["2"] and dropped[WRONG_LINES] == 1


def test_a_quote_that_is_not_closed_swallows_nothing(tmp_path: Path) -> None:
    # Read leniently the rest of the file would be one cell of row 2, and two rows would be gone.
    assert "line 3: not a CSV file" in refusal(tmp_path, 'step,note\n1,a\n2,"b\n3,c\n4,d\n')


def test_a_number_is_what_a_person_reads_as_one(tmp_path: Path) -> None:
    read = table(tmp_path, "step,loss,id\n1, 1e-3 ,1_0\n")
    assert finite(read, "loss").tolist() == [0.001]
    with pytest.raises(ValueError, match="line 2: id must be a number"):
        finite(read, "id")


def test_a_number_of_400_digits_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a number") as caught:
        finite(Table(tmp_path, pd.DataFrame({"a": [10**400]}, dtype=object), np.array([1])), "a")
    assert len(str(caught.value)) < 300
    assert json_rows(b'{"a": 1}\n{"a": ' + b"9" * 5000 + b"}\n").dropped == Counter({WRONG_JSON: 1})


def test_objects_in_objects_have_an_end() -> None:
    for deep in (DEEPEST + 1, 900, 100_000):
        raw = b'{"a":' * deep + b"1" + b"}" * deep
        assert json_rows(raw + b'\n{"a": 1}\n') == ([{"a": 1}], Counter({WRONG_JSON: 1}))
    raw = b'{"a":' * DEEPEST + b"1" + b"}" * DEEPEST
    assert json_rows(raw).rows == [{"/".join("a" * DEEPEST): 1}]


def parquet(folder: Path) -> bytes:
    frame = pd.DataFrame({"run": ["a"] * 400, "step": range(400), "loss": np.linspace(3, 1, 400)})
    frame.to_parquet(folder / "whole.parquet")
    return (folder / "whole.parquet").read_bytes()


def test_a_parquet_file_cut_anywhere_is_one_line(tmp_path: Path) -> None:
    raw = parquet(tmp_path)
    for end in range(0, len(raw), 97):
        assert "parquet" in refusal(tmp_path, raw[:end], "a.parquet")


def test_a_damaged_parquet_file_is_read_or_one_line(tmp_path: Path) -> None:
    raw, refused = parquet(tmp_path), 0
    rng = random.Random(0)
    for _ in range(300):
        damaged = bytearray(raw)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(raw))] = rng.randrange(256)
        (tmp_path / "a.parquet").write_bytes(damaged)
        for reader in (read_table, header):
            try:
                reader(tmp_path / "a.parquet")
            except ValueError as error:
                refused += 1
                assert "\n" not in str(error) and type(error) is ValueError
    assert refused > 50


def test_a_parquet_file_of_a_billion_equal_cells_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(tmp_path / "a.parquet", pa.schema([("loss", pa.float64())])) as writer:
        part = pa.table({"loss": np.zeros(1 << 20)})
        for _ in range(40):
            writer.write_table(part)
    with pytest.raises(ValueError, match="unpacks to more than 256 MiB"):
        read_table(tmp_path / "a.parquet")


def test_twenty_thousand_columns_take_no_time(tmp_path: Path) -> None:
    names = [f"grad/layer_{i}/norm" for i in range(20_000)]
    rows = "".join(",".join(["1", *(f"{i}.5" for i in range(20_000))]) + "\n" for _ in range(50))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(f"step,{','.join(names)}\n{rows}".encode(), 1))
    began = time.perf_counter()
    read = read_table(tmp_path / "a.csv.gz")
    assert time.perf_counter() - began < 8  # a second alone; 35 when names were compared with each other
    assert read.cells.shape == (50, 20_001) and finite(read, names[-1]).tolist() == [19_999.5] * 50
    assert header(tmp_path / "a.csv.gz") == ["step", *names]


@pytest.mark.parametrize(
    ("head", "row"),
    [("step,loss\n", "1,2.5\n2,2.25\n"), ("run,step,metric,value\n", "a,1,loss,2.5\na,2,loss,2.25\n")],
)
def test_a_run_that_has_just_begun_blocks_no_other(tmp_path: Path, head: str, row: str) -> None:
    (tmp_path / "a.csv").write_text(head + row)
    (tmp_path / "b.csv").write_text(head)
    with pytest.warns(UserWarning) as caught:
        assert load(tmp_path).runs.index.tolist() == ["a"]
    why = f"1 run(s) left out: {tmp_path / 'b.csv'}: no rows, only names of columns"
    assert any(why in str(one.message) for one in caught)
    (tmp_path / "a.csv").write_text(head)
    for path in (tmp_path, tmp_path / "a.csv"):
        with pytest.raises(ValueError, match=r"a\.csv: no rows"):
            load(path)
