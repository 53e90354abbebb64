"""Backtest: replay the past of some curves, and see what could have been forecast, how early, and how surely."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from predictdyn.api.called import called
from predictdyn.api.forecasts import outcomes_and_signals
from predictdyn.api.models import as_model
from predictdyn.api.reading import globs, prepared
from predictdyn.api.show import html_table
from predictdyn.backtest.answered import short_of_answers
from predictdyn.backtest.folder import provenance, write_json
from predictdyn.backtest.folds import groups
from predictdyn.backtest.onsets import ONSETS, SCORES, OnsetReplay, replay_onsets
from predictdyn.backtest.plan import Plan, matching_runs, needed_metrics
from predictdyn.backtest.replay import Replay, replay, write_replay
from predictdyn.backtest.rules import RULES
from predictdyn.backtest.writing import aside, check_new, locked, pieces_kept
from predictdyn.curves import Curves
from predictdyn.events import JointEvent, parse
from predictdyn.forecast import Model
from predictdyn.forecasters import BASELINES, TABLE, forecaster, names
from predictdyn.progress import bar, quiet_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from predictdyn.report.results import Results


@dataclass(frozen=True, repr=False)
class Backtest:
    """What a backtest found, as plain tables.

    ``leaderboard`` (one row a forecaster, best first), ``scores`` (by metric and cutoff), ``verdicts`` (by kind and
    cutoff: predictable here or not), ``forecasts`` (one row a forecast, with its truth); ``primary`` is the forecaster
    that verdicts and figures speak of. Skill is the share of the best simple baseline's error (CRPS) that is saved.
    """

    curves: Curves
    plan: Plan
    replay: Replay
    primary: str
    call: str = "predictdyn.backtest(curves)"  # that makes it again
    onsets: OnsetReplay | None = None  # only where an onset was asked for

    @property
    def leaderboard(self) -> pd.DataFrame:
        """One row a forecaster, best first."""
        return self.replay.leaderboard

    @property
    def scores(self) -> pd.DataFrame:
        """One row for each forecaster, metric and cutoff."""
        return self.replay.scores

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row for each forecaster, kind and cutoff."""
        return self.replay.verdicts

    @property
    def forecasts(self) -> pd.DataFrame:
        """One row for each forecast, with what then happened."""
        return self.replay.forecasts

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines on the data and the plan that a reader should know."""
        return (*self.curves.notes, *self.replay.warnings)

    @property
    def unanswered(self) -> list[str]:
        """The lines on forecasters whose forecasts are the last value in more than a tenth of cases.

        Of baselines, only the one that the backtest speaks for: the others may well have nothing to say.
        """
        return short_of_answers(self.forecasts, set(BASELINES) - {self.primary})

    def summary(self) -> pd.DataFrame:
        """What the primary forecaster can forecast: kind, cutoff, skill with its 90 % interval, coverage, verdict."""
        own = self.verdicts[self.verdicts["forecaster"] == self.primary]
        columns = ["kind", "cutoff", "skill", "skill_lo", "skill_hi", "coverage_90", "n_runs", "n_families", "verdict"]
        return own[columns].reset_index(drop=True)

    def plot_skill(self, *, kind: str | None = None, forecaster: str | None = None, ax: Axes | None = None) -> Axes:
        """Skill at each cutoff, with its 90 % interval: of the primary forecaster, or ``forecaster``, for each kind.

        With ``kind``, of this kind alone; without ``forecaster``, the best others that are no baselines are beside it.
        """
        from predictdyn.api.plots import plot_skill

        return plot_skill(self, kind, forecaster, ax=ax)

    def plot_calibration(self, *, forecaster: str | None = None, ax: Axes | None = None) -> Axes:
        """How many truths the intervals of each level held, with 90 % intervals by runs; of ``forecaster``."""
        from predictdyn.api.plots import plot_calibration

        return plot_calibration(self, forecaster, ax=ax)

    def plot_examples(self, *, axes: Sequence[Axes] | None = None) -> np.ndarray:
        """Fans of the example runs, with what then happened, at most six or as many as ``axes``; an array of Axes."""
        from predictdyn.api.plots import plot_examples

        return plot_examples(self, axes=axes)

    def save(self, folder: Path | str, *, title: str = "Backtest") -> Path:
        """Write all tables, figures and a page into a new folder, as the command does; returns the page's path."""
        out = Path(folder)
        with locked(out), aside(out) as inside:
            self.write(inside, self._about(title))
        return out / "index.html"

    def write(self, folder: Path, about: dict[str, Any]) -> None:
        """The files of `save`, in a folder that is there, with a provenance of the caller's."""
        from predictdyn.report import publish

        write_replay(self.replay, folder)
        if self.onsets is not None:
            self.onsets.rows.to_parquet(folder / ONSETS, index=False)
            self.onsets.scores.to_csv(folder / SCORES, index=False)
        write_json(about, folder / "provenance.json")
        publish(folder)

    @cached_property
    def results(self) -> Results:
        """The tables as pages and figures take them."""
        from predictdyn.report.results import Results

        found = self.replay
        # Unstated bounds are blank in a file, and numbers when it is read.
        metrics = found.metrics.astype(dict.fromkeys(("lower", "upper", "chance"), float))
        metrics = metrics.assign(**{name: metrics.get(name, "") for name in ("label", "unit")})
        return Results(
            Path(), "backtest", self._about("Backtest"), found.forecasts, found.paths, found.examples, metrics,
            found.scores, found.leaderboard, found.verdicts,
            **({} if self.onsets is None else {"onsets": self.onsets.rows, "onset_scores": self.onsets.scores}),
        )  # fmt: skip

    def about(self, **named: Any) -> dict[str, Any]:
        """The provenance: ``title``, ``command`` and ``data`` are the caller's."""
        asked = {} if self.onsets is None else {"onset": self.onsets.event}
        return provenance(
            self.curves, made="backtest", primary_forecaster=self.primary, seed=self.plan.seed,
            plan={**self.plan.to_json(), "rules": RULES, **asked}, warnings=list(self.notes),
            seconds=self.replay.seconds, **named,
        )  # fmt: skip

    def _about(self, title: str) -> dict[str, Any]:
        return self.about(title=title, command=self.call, data=None)

    def __repr__(self) -> str:
        verdicts = self.summary()["verdict"]
        good = int((verdicts == "predictable here").sum())
        return (
            f"Backtest: {self.primary} and {len(self.leaderboard) - 1} more; {good} of {len(verdicts)} pairs of kind "
            "and cutoff predictable here; .leaderboard and .verdicts have all"
        )

    def _repr_html_(self) -> str:
        return html_table(self.summary(), f"Backtest of {self.primary}")


def backtest(
    curves: Curves,
    forecasters: str | Model | Sequence[str | Model] = "auto",
    *,
    cutoffs: float | Sequence[float] = (0.1, 0.25, 0.5),
    metrics: str | Sequence[str] | None = None,
    hold_out: str = "family",
    runs: str | Sequence[str] | None = None,
    test: str | Sequence[str] | None = None,
    targets: Literal["final", "hidden"] = "final",
    split: Literal["cutoff", "seen"] = "cutoff",
    budget: float | None = None,
    seed: int = 0,
    workers: int = 1,
    onset: str | None = None,
    out: Path | str | None = None,
    progress: bool | None = None,
) -> Backtest:
    """Hide the end of finished runs, forecast it from their beginning, and score the forecasts.

    ``forecasters`` are names of `forecasters()`, models of your own, or "all"; the baselines always run as well.
    ``cutoffs`` are shares of the planned run in (0, 1) that are seen. Runs that have one value in the column
    ``hold_out`` are held out together; with ``test``, all that match its globs are, and no others. ``metrics`` and
    ``runs`` are globs. ``targets="hidden"`` asks every hidden point, not the last alone; ``split="seen"`` takes the
    column seen of points for what is visible. ``budget`` (FLOP) keeps larger runs out of the history. ``workers`` are
    processes. ``onset`` is an event, as ``"val_acc > 0.9"``, of which it is forecast, too, whether it comes before the
    end and when (``onsets``). A forecaster that raises or abstains is scored by the last value; a UserWarning says so
    where that is more than a tenth of its forecasts. With ``out`` the tables and a page are written there, and what is
    done when it is interrupted is kept.
    Raises ValueError, one line, where the plan does not fit the data.

    >>> step = [1, 2, 5, 10]
    >>> frame = pd.concat(
    ...     pd.DataFrame({"run": f"r{i}", "step": step, "val_acc": [0.1 + (0.05 + 0.002 * i) * s for s in step]})
    ...     for i in range(6)
    ... )
    >>> curves = Curves.from_frame(frame, runs={"last_step": 10})
    >>> backtest(curves, "mean_change", cutoffs=[0.5]).summary()[["kind", "cutoff", "n_runs"]].values.tolist()
    [['capability', 0.5, 6]]
    """
    if workers < 1:
        raise ValueError(f"workers= is at least 1, got {workers}")
    plan = Plan(
        cutoffs=_shares(cutoffs), split=split, targets=targets, hold_out=hold_out,
        test=globs(test, "test"), metrics=globs(metrics, "metrics"), budget=budget, seed=seed, runs=globs(runs, "runs"),
    )  # fmt: skip
    call = called(
        backtest, forecasters=forecasters, cutoffs=cutoffs, metrics=metrics, hold_out=hold_out, runs=runs, test=test,
        targets=targets, split=split, budget=budget, seed=seed, onset=onset,
    )  # fmt: skip
    models = models_of(forecasters)
    first = None if forecasters == "all" else as_models(forecasters)[0].name
    if out is not None:
        check_new(Path(out))
    curves = chosen(prepared(curves), plan)
    asked = None if onset is None else onset_asked(curves, onset)
    keeping = pieces_kept(Path(out)) if out is not None else nullcontext(None)
    lock = locked(Path(out)) if out is not None else nullcontext(None)
    moving = bar("backtest", quiet=quiet_by(progress), transient=progress is None)
    with lock, keeping as resume, moving as moved:
        found = replayed(curves, plan, models, workers=workers, resume=resume, progress=moved, first=first, onset=asked)
        found = replace(found, call=call)
        if out is not None:
            with aside(Path(out)) as inside:
                found.write(inside, found._about("Backtest"))
    for line in found.unanswered:
        warnings.warn(line, UserWarning, stacklevel=2)
    return found


def _shares(cutoffs: float | Sequence[float]) -> tuple[float, ...]:
    """One share of the run, or several."""
    try:
        several = [cutoffs] if isinstance(cutoffs, str) or np.isscalar(cutoffs) else list(cutoffs)  # type: ignore[arg-type]
        return tuple(map(float, several))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"cutoffs= takes shares in (0, 1), as [0.1, 0.5], got {cutoffs!r}") from None


def chosen(curves: Curves, plan: Plan) -> Curves:
    """The runs and metrics of a plan; a plan that does not fit them is told before any work begins."""
    some = curves.select(runs=matching_runs(curves, plan.runs)) if plan.runs else curves
    groups(some, plan)
    return needed_metrics(some, plan.metrics)


def replayed(
    curves: Curves, plan: Plan, models: Sequence[Model], *, workers: int, resume: Path | None,
    progress: Callable[[int, int], None], first: str | None = None, onset: JointEvent | None = None,
) -> Backtest:  # fmt: skip
    """The backtest of a plan that fits; where there are baselines only, the page speaks of ``first``."""
    primary = primary_of([*([first] if first else []), *(model.name for model in models)])
    found = replay(
        curves, plan, models, BASELINES, primary_forecaster=primary, workers=workers, resume=resume, progress=progress
    )
    onsets = None
    if onset is not None:
        onsets = replay_onsets(curves, plan, onset, workers=workers, resume=resume, progress=progress)
    return Backtest(curves, plan, found, primary, onsets=onsets)


def onset_asked(curves: Curves, text: str) -> JointEvent:
    """The event whose onset is asked for; ValueError where it cannot be read, or names what is not logged."""
    return parse(text, outcomes_and_signals(curves))


def models_of(asked: str | Model | Sequence[str | Model]) -> list[Model]:
    """The models that were asked for behind the baselines, which skill refers to and which always run."""
    if isinstance(asked, str) and asked == "all":
        return [forecaster(name) for name in names()]
    rest: dict[str, Model] = {}
    for model in as_models(asked):
        if model.name in TABLE and not _same(model, forecaster(model.name)):
            raise ValueError(
                f"{model.name!r} is the name of a built-in forecaster; give your {type(model).__name__} another name"
            )
        if not _same(model, rest.setdefault(model.name, model)):
            raise ValueError(f"two forecasters are called {model.name!r}; give each a name of its own")
    rest = {name: model for name, model in rest.items() if name not in BASELINES}
    return [*(forecaster(name) for name in BASELINES), *rest.values()]


def _same(one: Model, other: Model) -> bool:
    return one is other or one == other


def as_models(asked: str | Model | Sequence[str | Model]) -> list[Model]:
    """One or several, each a name or a model of your own."""
    several = list(asked) if isinstance(asked, Sequence) and not isinstance(asked, str) else [asked]
    if not several:
        raise ValueError("forecasters= is empty; name one, or all")
    return [as_model(one) for one in several]


def primary_of(asked: Sequence[str]) -> str:
    """The forecaster that a page speaks of: auto, else the first that is no baseline, else the first."""
    return "auto" if "auto" in asked else next((name for name in asked if name not in BASELINES), asked[0])
