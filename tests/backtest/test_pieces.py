"""Kept pieces: back as they were, damaged ones are made again, and a run that went on is the one that did not stop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from predictdyn.backtest import run as run_module
from predictdyn.backtest.pieces import Done, keep, kept, packed, unpacked
from predictdyn.backtest.plan import Plan
from predictdyn.backtest.run import COLUMNS, run
from predictdyn.forecasters import BASELINES, forecaster

PLAN = Plan(cutoffs=(0.25,), metrics=("loss", "accuracy"))
LAST = forecaster("last_value")


@dataclass(frozen=True)
class Full:
    """A forecaster that meets a full disk."""

    name: str = "full"

    def latent(self, problem):
        raise OSError(28, "No space left on device", "/big")


def a_piece(n: int = 3, paths: int = 2) -> Done:
    rows = pd.DataFrame({name: np.arange(float(n)) for name in COLUMNS}).assign(
        run="naïve", status="ok", step=np.arange(n), truth=np.nan
    )
    return Done(rows, rows.iloc[:0] if not paths else rows.iloc[:paths].assign(truth=np.nan), {"mean_change": 0.125})


@pytest.mark.parametrize(("n", "paths"), [(3, 2), (3, 0), (0, 0)])
def test_a_piece_comes_back_as_it_was(n, paths):
    piece = a_piece(n, paths)
    back = unpacked(packed(piece))
    assert back is not None and back.seconds == {"mean_change": 0.125} and len(back.paths) == paths
    for name in COLUMNS if n else ():
        assert list(back.rows[name].astype(str)) == list(piece.rows[name].astype(str))
        assert back.rows[name].dtype.kind == piece.rows[name].dtype.kind


def test_every_flipped_byte_and_every_cut_is_noticed():
    data = packed(a_piece())
    for place in range(0, len(data), 7):
        assert unpacked(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]) is None
        assert unpacked(data[:place]) is None


def test_what_is_not_there_is_none(tmp_path):
    assert kept(tmp_path / "none.piece") is None
    keep(packed(a_piece()), tmp_path / "one.piece")
    assert kept(tmp_path / "one.piece") is not None
    assert [file.name for file in tmp_path.iterdir()] == ["one.piece"]


def test_a_run_that_goes_on_gives_the_same_types_and_values(small, tmp_path):
    both = [LAST, forecaster("curve_fit")]
    asked = pd.DataFrame({"run": "f0-s0", "metric": "loss", "step": [300.0, 600.0], "cutoff": 0.25})
    words = {"paths": asked, "primary_forecaster": "curve_fit"}
    whole = run(small, PLAN, both, BASELINES, **words)
    run(small, PLAN, both, BASELINES, resume=tmp_path, **words)
    for i, file in enumerate(sorted(tmp_path.iterdir())):
        if i % 3 == 0:
            file.unlink()
        elif i % 3 == 1:
            file.write_bytes(file.read_bytes()[: 10 * i])
    again = run(small, PLAN, both, BASELINES, resume=tmp_path, **words)
    pd.testing.assert_frame_equal(whole.rows, again.rows)
    pd.testing.assert_frame_equal(whole.paths, again.paths)
    assert len(whole.paths) == 2 and whole.rows.dtypes.equals(again.rows.dtypes)
    whole.rows.to_parquet(tmp_path / "a")
    again.rows.to_parquet(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_whole_pieces_are_not_made_again_and_damaged_ones_are(small, tmp_path, monkeypatch):
    run(small, PLAN, [LAST], BASELINES, resume=tmp_path)
    files = sorted(tmp_path.iterdir())
    files[1].write_bytes(b"")
    made = []
    real = run_module._worked
    monkeypatch.setattr(run_module, "_worked", lambda *words: made.append(words[2].group.name) or real(*words))
    run(small, PLAN, [LAST], BASELINES, resume=tmp_path)
    assert len(files) == 4 and len(made) == 1
    assert kept(files[1]) is not None


def test_a_full_disk_is_no_fault_of_a_forecaster(small):
    with pytest.raises(OSError, match="No space left"):
        run(small, PLAN, [LAST, Full()], BASELINES)


def test_only_the_forecaster_that_figures_show_is_asked_for_the_way_there_and_a_piece_says_which(small, tmp_path):
    asked = pd.DataFrame({"run": "f0-s0", "metric": "loss", "step": [300.0, 600.0], "cutoff": 0.25})
    both = [LAST, forecaster("mean_change")]
    plain = run(small, PLAN, both, BASELINES)
    for name in ("last_value", "mean_change"):
        found = run(small, PLAN, both, BASELINES, paths=asked, primary_forecaster=name, resume=tmp_path)
        assert found.paths["forecaster"].tolist() == [name] * 2
        pd.testing.assert_frame_equal(found.rows, plain.rows, check_dtype=False)
