"""`import predictdyn` is light, its names are those written out, and verbs are not hidden by rooms of the same name."""

import subprocess
import sys

import pytest

import predictdyn


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_nothing_heavy_is_imported_before_it_is_used():
    code = (
        "import sys, time; began = time.perf_counter(); import predictdyn; spent = time.perf_counter() - began\n"
        "heavy = {'pandas', 'numpy', 'jax', 'scipy', 'sklearn', 'matplotlib', 'click', 'rich'} & set(sys.modules)\n"
        "print(sorted(heavy), spent)"
    )
    told = [python(code).strip().rpartition(" ") for _ in range(3)]
    assert {heavy for heavy, _, _ in told} == {"[]"}
    assert min(float(spent) for _, _, spent in told) < 0.3


def test_a_forecast_imports_no_jax():
    code = (
        "import sys, pandas as pd, predictdyn as pdyn\n"
        "frame = pd.DataFrame({'run': [*'aabbc'], 'step': [1, 3, 1, 3, 1], 'val_acc': [.1, .3, .1, .4, .1]})\n"
        "curves = pdyn.Curves.from_frame(frame, runs={'last_step': 3})\n"
        "pdyn.forecast(curves, forecaster='mean_change'); print('jax' in sys.modules, 'matplotlib' in sys.modules)"
    )
    assert python(code).split() == ["False", "False"]


def test_every_name_is_there_and_no_room_takes_its_place():
    code = (
        "import predictdyn, predictdyn.forecast, predictdyn.backtest.run, predictdyn.report, predictdyn.forecasters\n"
        "print([type(getattr(predictdyn, name)).__name__ for name in predictdyn.__all__])\n"
        "from predictdyn.backtest.plan import Plan; import predictdyn.forecasters.baselines\n"
        "print(predictdyn.backtest.__name__, predictdyn.forecasters().shape[1], predictdyn.__path__ != [])"
    )
    kinds, after = python(code).splitlines()
    expected = {"__version__": "str", "design": "module"}
    expected |= {
        name: "type" if name[0].isupper() else "function" for name in predictdyn.__all__ if name not in expected
    }
    assert kinds == str([expected[name] for name in predictdyn.__all__])
    assert after == "backtest 4 True"
    assert dir(predictdyn) == sorted(predictdyn.__all__)


def test_an_unknown_name_names_those_that_are():
    with pytest.raises(AttributeError, match=r"no attribute 'forcast'; it has load, load_dataset, Curves"):
        predictdyn.forcast  # noqa: B018


def test_the_table_of_forecasters_is_whole():
    from predictdyn.forecasters import ABOUT, TABLE

    table = predictdyn.forecasters()
    assert table["name"].tolist() == list(TABLE) == list(ABOUT)
    assert list(table.columns) == ["name", "family", "what it does", "needs"]
    assert table.notna().all(axis=None) and table["what it does"].str.len().max() < 80
