"""The page of a law says what its figures and tables show, and no more."""

import re

import numpy as np
import pandas as pd
import pytest

import predictdyn as pdyn

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def page(tmp_path, n: int, wrong: float = 1.0, saturates: bool = False) -> str:
    rng = np.random.default_rng(1)
    params = 10 ** rng.uniform(7.5, 9.5, n)
    table = pd.DataFrame({"params": params, "tokens": params * 10 ** rng.uniform(0.7, 1.9, n)})
    size = 1 / (1 / params + 1 / 6e8) if saturates else params
    table["loss"] = 0.0 if saturates else 1.7
    table["loss"] += (
        3e3 / (size**0.2 * table["tokens"] ** 0.15) if saturates else 400 / size**0.34 + 410 / table["tokens"] ** 0.28
    )
    table["loss"] *= np.exp(0.003 * rng.standard_normal(n))
    table.loc[2, "loss"] *= wrong
    text = pdyn.fit_law(table, "loss").save(tmp_path / "law").read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", text)


def test_captions_name_the_marks_that_are_drawn(tmp_path):
    text = page(tmp_path, 6)
    far = pd.read_csv(tmp_path / "law" / "runs.csv")["far_out"].any()
    assert "the law fits." in text and "Open circles" not in text and ("Crosses: runs far out" in text) == far
    assert "to hold some out" not in re.search(r'<h1>.*?id="warnings"', text)[0], "the check says it already"


def test_crosses_and_circles_are_captioned_where_they_are(tmp_path):
    text = page(tmp_path, 24, wrong=1.3)
    assert "Open circles far off: it does not extrapolate. Crosses: runs far out" in text
    assert re.search(r'<pre tabindex="0" class="wrapped"><code>loss = ', text)


def test_a_strength_is_given_and_the_formula_says_what_it_is(tmp_path):
    text = page(tmp_path, 24, saturates=True)
    assert re.search(r"saturates at [\d.]+ times its largest value", text)
    assert re.search(r"where R = [\d.e]+, effective\((params|tokens)\) = 1 / \(1 / \1 \+ 1 / R\)", text)
    assert "A number that is given belongs to the structure" in text
