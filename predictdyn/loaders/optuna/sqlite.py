"""Studies of Optuna in SQLite: tables studies, trials and those of what a trial has."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

from predictdyn.loaders.files.sqlite import reading
from predictdyn.loaders.optuna.trials import NAMES, Trial, parameter

TABLES = ("studies", "trials", "trial_params", "trial_values", "trial_intermediate_values")
NOT_FINITE = {"NAN": math.nan, "INF_POS": math.inf, "INF_NEG": -math.inf}


class Listed(NamedTuple):
    """A trial that is there: its id, the name of its study, its number in it."""

    id: str
    study: str
    number: int


def listed(path: Path) -> list[Listed]:
    """All trials of all studies, but for those that wait to begin."""
    query = (
        "SELECT t.trial_id, s.study_name, t.number FROM trials t JOIN studies s USING (study_id) "
        "WHERE t.state != 'WAITING' ORDER BY t.study_id, t.number"
    )
    with reading(path) as connection:
        return [Listed(str(trial), str(study), int(n)) for trial, study, n in connection.execute(query)]


def trial(path: Path, key: str) -> Trial:
    """One trial by its id."""
    about = "SELECT t.study_id, s.study_name, t.number, t.state FROM trials t JOIN studies s USING (study_id) "
    reported = "SELECT step, intermediate_value, intermediate_value_type FROM trial_intermediate_values "
    params = "SELECT param_name, param_value, distribution_json FROM trial_params WHERE trial_id = ? ORDER BY param_id"
    final = "SELECT value, value_type FROM trial_values WHERE trial_id = ? ORDER BY objective"
    with reading(path) as connection:
        row = connection.execute(f"{about} WHERE t.trial_id = ?", (key,)).fetchone()
        if row is None:
            raise ValueError(f"{path}: has no trial {key}")
        study, name, number, state = row
        values = connection.execute(f"{reported} WHERE trial_id = ? ORDER BY 1, rowid", (key,)).fetchall()
        settings = connection.execute(params, (key,)).fetchall()
        ends = connection.execute(final, (key,)).fetchall()
        names = connection.execute(
            "SELECT value_json FROM study_system_attributes WHERE study_id = ? AND key = ?", (study, NAMES)
        ).fetchone()
    return Trial(
        str(name),
        int(number),
        str(state),
        {str(key): parameter(value, str(distribution)) for key, value, distribution in settings},
        [step for step, _, _ in values],
        [NOT_FINITE.get(kind, value) for _, value, kind in values],
        [NOT_FINITE.get(kind, value) for value, kind in ends],
        _names(names[0]) if names else [],
    )


def _names(text: object) -> list[str]:
    try:
        return [str(name) for name in json.loads(str(text))]
    except (ValueError, TypeError, RecursionError):
        return []
