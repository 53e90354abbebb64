"""Forecast: what runs that have not ended will become, with all that one may ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.api.called import called
from predictdyn.api.models import FittedModel, as_model, load_model
from predictdyn.api.reading import globs, prepared, tell
from predictdyn.api.show import html_table
from predictdyn.backtest.decay import decay_lines, open_decays
from predictdyn.backtest.draws import FILE as DRAWS_FILE
from predictdyn.backtest.draws import draws_table
from predictdyn.backtest.folder import provenance, write_json
from predictdyn.backtest.live import (
    LiveForecast,
    LiveSplit,
    copies_left_out,
    forecast_live,
    larger,
    live_of,
    split_live,
    without,
    write_live,
)
from predictdyn.backtest.modes import MODES
from predictdyn.backtest.plan import needed_metrics
from predictdyn.backtest.run import rows_of
from predictdyn.backtest.trust import trust
from predictdyn.backtest.writing import new_folder
from predictdyn.curves import ENDED, Curves
from predictdyn.effects import Intervention, check, comparison, intervened
from predictdyn.events import outside, parse, probabilities
from predictdyn.forecast import Model
from predictdyn.forecasters import DEFAULT, names
from predictdyn.forecasters import fit as fitted_on
from predictdyn.forecasters._chains import chains_said
from predictdyn.forecasters._fitted import Fitted
from predictdyn.joint import couple
from predictdyn.progress import quiet_by, spinner

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from predictdyn.api.onsets import Onset

KEY = ["run", "metric", "step"]
VALUE = "value"  # what the variable is called in tables of skpro's layout
LINES = 20  # of a repr


class Question(NamedTuple):
    """What is known, what is asked, and the model that will answer; ``notes`` say how it came to be."""

    curves: Curves
    split: LiveSplit
    fitted: Fitted
    notes: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Forecast:
    """Draws of every target (run, metric, step), and how they were made.

    ``draws`` (n, s) are in the units of each metric; draw i of all rows of a run is one sample of them together.
    ``notes`` are lines that a reader should know, such as that a run is larger than all finished ones. ``effects`` is
    the table of planned interventions (`with_intervention`), empty without one.
    """

    question: Question
    live: LiveForecast
    seed: int
    plan: Mapping[str, Any]
    effects: pd.DataFrame
    base: LiveForecast | None = None  # the forecast without the intervention
    call: str = "predictdyn.forecast(curves)"  # that makes it again

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines on the data and the forecast."""
        return self.question.notes

    @property
    def target(self) -> pd.DataFrame:
        """What is forecast, (n rows): run, metric, step."""
        return self.live.prediction.target

    @property
    def draws(self) -> np.ndarray:
        """Samples of each target (n, s), in the units of its metric."""
        return self.live.prediction.draws

    @property
    def forecaster(self) -> str:
        """The name of the model."""
        return self.question.fitted.model.name

    def summary(self) -> pd.DataFrame:
        """One row a target: median and 90 % interval, and the share of the run that was seen."""
        rows = self.live.rows
        names = {"cutoff": "share seen", "q0.5": "median", "q0.05": "5 %", "q0.95": "95 %"}
        return rows.rename(columns=names)[
            ["run", "metric", "median", "5 %", "95 %", "step", "share seen", "kind", "status"]
        ]

    def modes(self) -> pd.DataFrame:
        """One row for each target with two modes: the chance of each, and its median and 90 % interval.

        Columns run, metric, step, ``upper`` (the share of draws in the upper mode), ``low_q0.05`` to ``high_q0.95``.
        Draws have two modes where a valley lies between them (`fitting.two_modes`); a median would lie there too.
        """
        rows = self.live.rows
        return rows.loc[rows["upper"].notna(), [*KEY, *MODES]].reset_index(drop=True)

    def quantiles(self, levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> pd.DataFrame:
        """run, metric, step, and a column ``q0.05`` for each level in (0, 1)."""
        found = np.quantile(self.draws, _levels(levels, "levels"), axis=1)
        return self._keys().assign(**{f"q{level:g}": column for level, column in zip(levels, found, strict=True)})

    def interval(self, coverage: float = 0.9) -> pd.DataFrame:
        """run, metric, step, lower, upper: the central interval, which holds the outcome with this probability."""
        if np.ndim(coverage):
            raise ValueError("interval: coverage= takes one number in (0, 1); predict_interval takes several")
        low, high = np.quantile(self.draws, _ends(coverage), axis=1)
        return self._keys().assign(lower=low, upper=high)

    def predict_interval(self, coverage: float | Sequence[float] = 0.9) -> pd.DataFrame:
        """Central intervals in the layout of skpro: columns (variable, coverage, lower or upper), one row a target.

        Rows are indexed by run, metric and step.
        """
        wanted = [coverage] if np.isscalar(coverage) else list(coverage)  # type: ignore[arg-type]
        columns = pd.MultiIndex.from_product([[VALUE], wanted, ["lower", "upper"]])
        found = [np.quantile(self.draws, level, axis=1) for one in wanted for level in _ends(float(one))]  # type: ignore[arg-type]
        return pd.DataFrame(np.stack(found, axis=1), index=self._index(), columns=columns)

    def predict_quantiles(self, alpha: float | Sequence[float] = (0.05, 0.95)) -> pd.DataFrame:
        """Quantiles in the layout of skpro: columns (variable, alpha), one row a target (index run, metric, step)."""
        wanted = [float(alpha)] if np.isscalar(alpha) else list(alpha)  # type: ignore[arg-type]
        found = np.quantile(self.draws, _levels(wanted, "alpha"), axis=1).T
        return pd.DataFrame(found, index=self._index(), columns=pd.MultiIndex.from_product([[VALUE], wanted]))

    def probability(self, event: str) -> pd.DataFrame:
        """The probability of a joint event for each run (index): probability, status.

        ``event`` is a sentence of bounds, as ``"val_acc > 0.9 and 'the gap' < 0.05"``. Of s draws the standard error is
        at most 1 / (2 sqrt(s)). Raises ValueError for a sentence that cannot be read, and for unknown metrics; a
        number outside a metric's range is a UserWarning.
        """
        asked = parse(event, set(self.target["metric"]))
        tell(outside(asked, self.question.curves.metrics), stacklevel=2)
        return probabilities(self.live.prediction, [asked]).set_index("run")[["probability", "status"]]

    def onset(self, event: str) -> Onset:
        """When an event will first hold in each run, or that it will not before the planned end.

        ``event`` is a sentence of bounds, as for `probability`; any logged metric may be named. Finished runs tell by a
        hazard of plan, curve and early signals; those without the event count as censored. The answer has `summary`,
        `before` (the probability by step) and `plot`. Raises ValueError for a sentence that cannot be read, and for a
        forecast with an intervention: what it does to the time of an event is not known.
        """
        if self.base is not None:
            raise ValueError(
                "an onset is of runs as they are, and this forecast has an intervention; ask for the onset before "
                "with_intervention, or for probability(...) at the end with it"
            )
        return self._onset(event)

    def _onset(self, event: str) -> Onset:
        """The onset of an event in runs as they are."""
        from predictdyn.api.onsets import onset_of

        curves = self.question.curves
        asked = parse(event, outcomes_and_signals(curves))
        tell(outside(asked, curves.metrics), stacklevel=3)
        return onset_of(self.question, asked, seed=self.seed)

    def with_intervention(self, name: str | Intervention, step: float | None = None) -> Forecast:
        """The forecast if the training is changed after ``step``: ``name`` is one of the column intervention of runs.

        Adds what finished runs with the change, beside their baseline runs, say of its effect; ``effects`` has both
        forecasts, the effect and what supports it. Raises ValueError where no finished run has the change, or a run is
        seen beyond the step.
        """
        if isinstance(name, str) and step is None:
            raise ValueError("with_intervention needs step=, the last step before the change")
        planned = name if isinstance(name, Intervention) else Intervention(name, _step_before(step))
        before = self.base or self.live
        _, split, fitted, _ = self.question
        found = self.compared([planned])
        changed = (
            intervened(draws, split.history, split.observed, planned, seed=self.seed).forecast
            for draws in (before.prediction, before.way)
        )
        # Effects are drawn for each row by itself; draw i of all rows of a run is one sample of them again.
        one, way = (couple(draws, fitted.past, split.observed, seed=self.seed) for draws in changed)
        live = live_of(self.question.curves, split, one, way, fitted.model.name)
        call = f"{self.call}.with_intervention({planned.name!r}, step={planned.step:g})"
        effects = pd.concat([self.effects, found], ignore_index=True)
        return replace(self, live=live, base=before, effects=effects, call=call)

    def compared(self, planned: Sequence[Intervention]) -> pd.DataFrame:
        """A row for each planned change and target: without it, with it, the effect, and what supports it."""
        _, split, _, _ = self.question
        before = self.base or self.live
        return comparison(before.prediction, split.history, split.observed, planned, seed=self.seed)

    def score(self, truth: Curves) -> pd.DataFrame:
        """What has since become of the targets, by curves that go further: truth, CRPS, and whether intervals held it.

        One row a target: run, metric, kind, step, truth, median, crps (in the metric's units), absolute error, log
        score, pit in (0, 1), ``inside 90 %`` (blank where the truth is not yet logged). A log that reaches 98 % of the
        step counts as having reached it.
        """
        found = truths(self.target, truth)
        rows = rows_of(
            self.live.prediction, found, self.question.curves, forecaster=self.forecaster, fold="live", cutoff=np.nan
        )
        inside = (rows["q0.05"] <= found) & (found <= rows["q0.95"])
        rows = rows.assign(**{
            "median": rows["q0.5"], "absolute error": (rows["q0.5"] - found).abs(),
            "log score": rows["log_score"], "inside 90 %": inside.where(np.isfinite(found)),
        })  # fmt: skip
        return rows[
            [*KEY[:2], "kind", "step", "truth", "median", "crps", "absolute error", "log score", "pit", "inside 90 %"]
        ]

    def trust(self) -> pd.DataFrame:
        """How far forecasts like these were right: by the replays of finished runs that `auto` learnt its weights from.

        One row for each metric and progress: skill over the best simple baseline with its 90 % interval, coverage of
        the 90 % intervals, and on how many runs and families it rests; ``verdict`` says where these are too few. Each
        family is scored with weights that other families taught. `backtest` holds out more, and says it for each run.
        """
        _, split, fitted, _ = self.question
        return trust(fitted, split, seed=self.seed)

    def to_frame(self) -> pd.DataFrame:
        """One row a target, in the columns of forecasts.parquet; ``truth`` is blank."""
        return self.live.rows.copy()

    def to_inference_data(self) -> Any:
        """The draws as an `arviz.InferenceData` with the group posterior_predictive: chain 1, draw s, target n.

        Needs arviz: ``pip install predictdyn[arviz]``; raises ImportError without it.
        """
        try:
            import arviz
        except ImportError:
            raise ImportError("to_inference_data needs arviz: pip install predictdyn[arviz]") from None
        coords = {"target": np.arange(len(self.target))}
        data = arviz.from_dict(
            posterior_predictive={VALUE: self.draws.T[None]}, coords=coords, dims={VALUE: ["target"]}
        )
        labels = {name: ("target", self.target[name].to_numpy()) for name in KEY}
        data.posterior_predictive = data.posterior_predictive.assign_coords(labels)
        return data

    def plot(self, metric: str | None = None, run: str | None = None, *, ax: Axes | None = None) -> Axes:
        """A fan of the way to one target: what was seen, the median, and the 50, 80 and 90 % ranges. Returns Axes.

        ``metric`` and ``run`` choose the target; by default the first that fits.
        """
        from predictdyn.api.plots import plot_forecast

        return plot_forecast(self, metric, run, ax=ax)

    def save(
        self,
        folder: Path | str,
        *,
        events: Sequence[str] = (),
        onsets: Sequence[str] = (),
        title: str = "Forecast",
    ) -> Path:
        """Write forecasts, figures and a page into a new folder, as the command does; returns the page's path.

        ``events`` are joint events whose probabilities the page tells, ``onsets`` those whose first time it tells.
        Raises ValueError where the folder is not new.
        """
        for text in events:
            tell(outside(parse(text, set(self.target["metric"])), self.question.curves.metrics), stacklevel=2)
        asked = {**self.plan, "events": "; ".join(events), **({"onsets": "; ".join(onsets)} if onsets else {})}
        said = ", ".join(f"{name}={list(some)!r}" for name, some in (("events", events), ("onsets", onsets)) if some)
        call = f"{self.call}.save('page', {said})" if said else self.call
        about = provenance(
            self.question.curves, made="forecast", title=title, command=call,
            primary_forecaster=self.forecaster, seed=self.seed, plan=asked, data=None, warnings=list(self.notes),
            seconds={},
        )  # fmt: skip
        with new_folder(Path(folder)) as aside:
            self.write(aside, about, events=events, onsets=onsets)
        return Path(folder) / "index.html"

    def write(
        self, folder: Path, about: dict[str, Any], *, events: Sequence[str] = (), onsets: Sequence[str] = ()
    ) -> None:
        """The files of `save`, in a folder that is there, with a provenance of the caller's."""
        from predictdyn.report import publish
        from predictdyn.report.results import ONSET, ONSET_STEPS, TRUST

        live = self.base or self.live
        if events:
            asked = [parse(text, set(self.target["metric"])) for text in events]
            probabilities(live.prediction, asked).to_csv(folder / "probabilities.csv", index=False)
        if onsets:
            found = [self._onset(text) for text in onsets]
            pd.concat([one.summary() for one in found]).to_csv(folder / ONSET, index=False)
            pd.concat([one.before() for one in found]).to_csv(folder / ONSET_STEPS, index=False)
        write_live(live, self.question.curves.metrics, folder)
        _, split, fitted, _ = self.question
        draws_table(live.prediction, split, fitted, seed=self.seed).to_parquet(folder / DRAWS_FILE, index=False)
        if len(self.effects):
            self.effects.to_csv(folder / "effects.csv", index=False)
        replayed = self.trust()
        if replayed["n_runs"].notna().any():
            replayed.to_csv(folder / TRUST, index=False)
        write_json(about, folder / "provenance.json")
        publish(folder)

    def _keys(self) -> pd.DataFrame:
        return self.target[KEY].copy()

    def _index(self) -> pd.MultiIndex:
        return pd.MultiIndex.from_frame(self.target[KEY])

    def __repr__(self) -> str:
        runs = self.target["run"].nunique()
        return f"Forecast: {self.forecaster}, {len(self.target)} targets of {runs} runs; .summary() has them"

    def _repr_html_(self) -> str:
        table = self.summary().assign(**{"share seen": lambda rows: rows["share seen"].map("{:.0%}".format)})
        return html_table(table, f"Forecast by {self.forecaster}", LINES)


def _step_before(step: object) -> float:
    """The last step before a change. Raises ValueError where that is no number from 0 on."""
    try:
        number = float(step)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = np.nan
    if not 0 <= number < np.inf:
        raise ValueError(f"step= is the last step before the change, a number from 0 on, got {step!r}")
    return number


def forecast(
    curves: Curves,
    model: FittedModel | Path | str | None = None,
    *,
    forecaster: str | Model = DEFAULT,
    runs: str | Sequence[str] | None = None,
    metrics: str | Sequence[str] | None = None,
    upto: float | None = None,
    cutoff: float | None = None,
    at: float | Literal["final"] = "final",
    seed: int = 0,
    progress: bool | None = None,
) -> Forecast:
    """Forecast runs that have not ended, to their planned end.

    ``model`` is what `fit` gave, or a folder of it; else ``forecaster``, a name or a model of your own, learns from the
    finished runs. ``runs`` and ``metrics`` are globs (default: runs that have not ended, all outcomes). ``upto``, a
    step, or ``cutoff``, a share of the planned run in (0, 1), hides what is later; ``at`` is the step to forecast.
    Runs in question are never learnt from, nor are copies of them under other names. Raises ValueError, one line, where
    nothing is left to forecast.

    >>> step = [1, 2, 3, 4]
    >>> frame = pd.concat(
    ...     pd.DataFrame({"run": name, "step": step[:n], "val_acc": [0.2 + rise * s for s in step[:n]]})
    ...     for name, n, rise in [("a", 4, 0.1), ("b", 4, 0.12), ("c", 4, 0.11), ("d", 2, 0.1)]
    ... )
    >>> found = forecast(Curves.from_frame(frame, runs={"last_step": 4}), forecaster="mean_change")
    >>> found.summary()[["run", "metric", "step"]].values.tolist(), found.draws.shape
    ([['d', 'val_acc', 4.0]], (1, 1000))
    """
    if isinstance(model, str) and model in names() and not Path(model).exists():
        raise ValueError(f"model= takes what fit gave, or its folder; name a forecaster by forecaster={model!r}")
    asked = question(
        prepared(curves), model, forecaster, runs=globs(runs, "runs"), metrics=globs(metrics, "metrics"),
        upto=upto, cutoff=cutoff, at=_step_of(at), seed=seed,
    )  # fmt: skip
    plan = {
        "upto": upto, "cutoff": cutoff, "at": at, "runs": ", ".join(globs(runs, "runs")), "events": "", "intervene": "",
        "model": str(model) if isinstance(model, str | Path) else None,
    }  # fmt: skip
    count = asked.split.target["run"].nunique()
    with spinner(f"forecasting {count} runs", quiet=quiet_by(progress)):
        found = answered(asked, seed=seed, plan=plan)
    call = called(
        forecast, model=model, forecaster=forecaster, runs=runs, metrics=metrics, upto=upto, cutoff=cutoff, at=at,
        seed=seed,
    )  # fmt: skip
    return replace(found, call=call)


def question(
    curves: Curves,
    model: FittedModel | Path | str | None,
    forecaster: str | Model,
    *,
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    upto: float | None,
    cutoff: float | None,
    at: float | None,
    seed: int,
) -> Question:
    """What is to be forecast of curves that are `prepared`, and by what, checked; nothing is computed yet."""
    given = load_model(model) if isinstance(model, str | Path) else model
    if given is not None and not isinstance(given, FittedModel):
        raise ValueError(f"model= takes what fit gave, or its folder, got {type(given).__name__}")
    if given is not None and forecaster != DEFAULT and forecaster != given.name:
        raise ValueError("give model= or forecaster=, not both")
    one = as_model(forecaster)
    curves = needed_metrics(curves, metrics)
    split = split_live(curves, runs=runs, metrics=metrics, upto=upto, cutoff=cutoff, at=at)
    if given is None:
        fitted, said = fitted_on(one, split.history, seed=seed), [*copies_left_out(split), *larger(split)]
    else:
        fitted, said = without(given.fitted, curves, split)
        said += larger(split._replace(history=fitted.history))
    said += decay_lines(open_decays(fitted.history, split.observed))
    return Question(curves, split, fitted, (*curves.notes, *said))


def answered(asked: Question, *, seed: int, plan: Mapping[str, Any]) -> Forecast:
    """The forecast of a question."""
    live = forecast_live(asked.curves, asked.split, asked.fitted, asked.fitted.model.name, seed=seed)
    chains = chains_said(asked.fitted.past, set(asked.split.target["metric"]))
    asked = asked._replace(notes=(*asked.notes, *chains))
    return Forecast(asked, live, seed, plan, pd.DataFrame())


def check_planned(asked: Question, planned: Sequence[Intervention]) -> None:
    """Raises ValueError for an intervention that cannot be forecast."""
    for one in planned:
        check(asked.split.history, asked.split.observed, one)


def outcomes_and_signals(curves: Curves) -> set[str]:
    """The logged metrics that an onset may be of: all but schedules."""
    return {name for _, name in curves.series if curves.metrics[name].kind != "schedule"}


def truths(target: pd.DataFrame, curves: Curves) -> np.ndarray:
    """The values (n,) that were logged at the targets' steps, or at `ENDED` of them at least; NaN where none was."""
    found = np.full(len(target), np.nan)
    for row, (run, metric, step) in enumerate(target[KEY].itertuples(index=False)):
        curve = curves.series.get((run, metric))
        if curve is not None and len(curve.step):
            place = int(np.searchsorted(curve.step, step, side="right")) - 1
            # Where the log goes on, a step between two points is not one that was measured.
            reached = place >= 0 and (curve.step[place] == step or place == len(curve.step) - 1)
            if reached and curve.step[place] >= ENDED * step:
                found[row] = curve.value[place]
    return found


def path_prediction(forecast: Forecast, run: str, metric: str) -> LiveForecast:
    """The way to one target: as it was computed for the page, else computed now."""
    live = forecast.live
    paths = live.paths
    if ((paths["run"] == run) & (paths["metric"] == metric)).any() or forecast.base is not None:
        return live
    curves, split, fitted, _ = forecast.question
    rows = (split.target["run"] == run) & (split.target["metric"] == metric)
    one = split._replace(target=split.target[rows].reset_index(drop=True))
    return forecast_live(curves, one, fitted, fitted.model.name, seed=forecast.seed)


def _step_of(at: object) -> float | None:
    """The one step to forecast, None for the planned end."""
    if isinstance(at, str) and at == "final":
        return None
    if isinstance(at, bool) or not isinstance(at, int | float | np.number) or not np.isfinite(at):
        raise ValueError(f"at= takes one step or 'final', got {at!r}; forecast each step by itself")
    return float(at)


def _levels(levels: Sequence[float], keyword: str) -> list[float]:
    if not len(levels) or not all(0 < level < 1 for level in levels):
        raise ValueError(f"{keyword} are numbers in (0, 1), got {', '.join(map(str, levels)) or 'none'}")
    return list(levels)


def _ends(coverage: float) -> tuple[float, float]:
    """The levels of the ends of a central interval."""
    if not 0 < coverage < 1:
        raise ValueError(f"coverage is a number in (0, 1), got {coverage}")
    return (1 - coverage) / 2, (1 + coverage) / 2
