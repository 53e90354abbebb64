"""How plans are read: like the table of finished runs that a law was learnt from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.laws import cells
from predictdyn.laws.collinear import Collinear
from predictdyn.naming import meant, some

Plans = pd.DataFrame | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Reading:
    """How columns of a table become inputs: ``text`` are groups, ``scale`` is what numbers are multiplied by.

    ``fixed`` are columns of one positive number, ``collinear`` columns that follow from inputs: a plan may name them,
    and have another value, of which the law knows nothing. ``dropped`` says why columns are no inputs.
    """

    inputs: tuple[str, ...]
    text: tuple[str, ...] = ()
    scale: dict[str, float] = field(default_factory=dict)
    fixed: dict[str, float] = field(default_factory=dict)
    collinear: dict[str, Collinear] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    @property
    def optional(self) -> list[str]:
        """Columns that a plan may have beside the inputs."""
        return [name for name in (*self.fixed, *self.collinear) if name not in self.inputs]

    def plans(self, asked: Plans) -> pd.DataFrame:
        """Plans as numbers: a table, which may have other columns, or each by its names.

        Raises ValueError, one line, for a name that is no input, and as `plan` does.
        """
        if isinstance(asked, pd.DataFrame):
            return self.plan(asked.rename(columns=str))
        self.must_know(dict.fromkeys(name for one in asked for name in one))
        return self.plan(pd.DataFrame(list(asked)))

    def must_know(self, names: Iterable[str]) -> None:
        """Raise ValueError, one line, for a part of a plan that is no input, and why it is none."""
        for name in names:
            if name in (*self.inputs, *self.optional):
                continue
            why = self.dropped.get(name)
            said = f"it {why}; leave it out; " if why else meant(name, self.inputs)
            raise ValueError(f"{name!r} is no input; {said}inputs are {some(list(self.inputs), 12)}")

    def plan(self, table: pd.DataFrame) -> pd.DataFrame:
        """The inputs of other runs, and what else of ``optional`` they say.

        Raises ValueError where a column is missing or a cell is no number.
        """
        missing = [name for name in self.inputs if name not in table]
        if missing:
            columns = list(map(str, table.columns))
            strange = [name for name in columns if name not in (*self.inputs, *self.optional)]
            asked = ((name, meant(name, missing).strip()) for name in strange)
            hint = next((f"; {name!r} is no input, {question}" for name, question in asked if question), "")
            raise ValueError(
                f"a plan needs {some(list(self.inputs), 12)}; missing {some(missing)}, found "
                f"{some(columns, 12) or 'nothing'}{hint}"
            )
        found: dict[str, Any] = {}
        for name in (*self.inputs, *(name for name in self.optional if name in table)):
            if name in self.text:
                found[name] = table[name].astype(object).where(table[name].notna(), None).map(str)
                continue
            try:
                value = np.array([cells.number(cell) for cell in table[name]], dtype=float)
            except (ValueError, TypeError) as error:
                raise ValueError(f"plan: {name}: {error}") from None
            found[name] = value * self.scale.get(name, 1.0)
        return pd.DataFrame(found).reset_index(drop=True)
