"""Progress in a notebook without widgets: one line of letters that is replaced, and blank at the end by default."""

import sys
from importlib.util import find_spec

import pytest

from predictdyn import progress

CODE = """
import sys
sys.modules["ipywidgets"] = None  # as if it were not installed
import pandas as pd, predictdyn as pdyn
step = list(range(1, 11))
rows = [
    pd.DataFrame({"run": f"r{i}", "step": step, "val_acc": [0.1 + (0.05 + 0.002 * i) * s for s in step]})
    for i in range(6)
]
curves = pdyn.Curves.from_frame(pd.concat(rows), runs={"last_step": 10})
result = pdyn.backtest(curves, "mean_change", cutoffs=0.5, progress=PROGRESS)
forecast = pdyn.forecast(curves, runs="r0", cutoff=0.5, forecaster="mean_change", progress=PROGRESS)
print("done")
"""


@pytest.mark.parametrize("asked", [None, True, False])
def test_a_notebook_without_widgets_shows_a_bar_of_letters(asked):
    """In a real kernel: what the cell has shown is as a notebook stores it."""
    for needed in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(needed)
    import nbclient
    import nbformat

    cell = nbformat.v4.new_code_cell(CODE.replace("PROGRESS", repr(asked)))
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    words = [one for one in notebook.cells[0].outputs if one["output_type"] == "stream"]
    shown = [one["data"]["text/plain"] for one in notebook.cells[0].outputs if one["output_type"] == "display_data"]
    assert [one["text"] for one in words if one["name"] == "stdout"] == ["done\n"]
    assert not any("Warning" in one["text"] for one in words)
    if asked is False:
        assert shown == []
    elif asked is None:
        assert shown == ["", ""]  # both came and went
    else:
        backtest, forecast = shown
        assert backtest.startswith(f"backtest  [{'#' * progress.WIDE}]  6 of 6  0:") and forecast == ""


def test_a_bar_of_letters_moves_seldom_and_ends_where_all_is_done(monkeypatch):
    times = iter([0.0, 0.05, 0.1, 0.3, 60.0, 60.01])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    lines: list[str] = []
    moved = progress._letters("work", lines.append)
    for done in range(1, 6):
        moved(done, 5)
    assert [line.split("]  ")[1] for line in lines] == [
        "1 of 5  0:00, 0:00 left",
        "3 of 5  0:00, 0:00 left",
        "4 of 5  1:00, 0:15 left",
        "5 of 5  1:00, 0:00 left",
    ]
    assert progress.bar_line("long", 1, 3, 3600).endswith("1 of 3  1:00:00, 2:00:00 left")
    assert progress.bar_line("begun", 0, 3, 5).endswith("[" + 30 * "." + "]  0 of 3  0:05")


@pytest.mark.skipif(find_spec("ipywidgets") is not None, reason="ipywidgets is installed")
def test_without_ipython_nothing_of_it_is_imported(capfd):
    with progress.bar("work", quiet=False, transient=True) as moved, progress.spinner("more", quiet=True):
        moved(1, 1)
    assert capfd.readouterr() == ("", "")
    assert progress.quiet_by(None) and not progress.quiet_by(True) and "ipywidgets" not in sys.modules
