"""JSON files that are one document, not lines: a list of rows, CatBoost's iterations, a list of values a metric."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain

from predictdyn.curves import OUTCOMES
from predictdyn.loaders.engine.facts import log_metric, plain_name
from predictdyn.loaders.files.json_rows import flat

TRIPLE = ("wall_time", "step", "value")  # a curve that is downloaded from TensorBoard's page
ROUND = "iteration"  # the step of documents that count rounds
END = "max_iterations"  # where CatBoost was meant to end
_BEGINS = re.compile(rb'\s*(?:\[|\{\s*"(?:[^"\\]+"\s*:\s*(?:\{\s*"[^"\\]+"\s*:\s*)?\[|(?:meta|iterations)"))')
_DATA = re.compile(r"(?:train(?:ing)?|learn|valid(?:ation)?|val|eval|test|dev)(?:_?\d+)?")


def may_be_document(beginning: bytes) -> bool:
    """Whether a file that begins so may be one of these.

    >>> [may_be_document(raw) for raw in (b'{"train": {"rmse": [0.5,', b'{"step": 1}', b'{"iterations": [')]
    [True, False, True]
    """
    return _BEGINS.match(beginning.removeprefix(b"\xef\xbb\xbf")) is not None


def records_in(raw: bytes) -> list[dict[str, object]] | None:
    """The rows of a document; None where it is none of these.

    * A list of objects, or of triples (wall time, step, value): these.
    * What CatBoost leaves (``catboost_training.json``): a row an iteration, ``learn/Logloss``.
    * What XGBoost and LightGBM record of an evaluation, ``{"train": {"logloss": [...]}, "valid": ...}``: a row a round,
      counted from 0, ``train/logloss``. All lists must be equally long, and a name must say that it is of data or of a
      result.

    >>> records_in(b'{"valid": {"rmse": [0.5, 0.25]}}')
    [{'iteration': 0, 'valid/rmse': 0.5}, {'iteration': 1, 'valid/rmse': 0.25}]
    """
    try:
        content = json.loads(raw.removeprefix(b"\xef\xbb\xbf"))
        if isinstance(content, list):
            return _listed(content)
        return (_of_catboost(content) or _of_series(content)) if isinstance(content, dict) else None
    except (ValueError, RecursionError):
        return None


def _listed(content: list[object]) -> list[dict[str, object]] | None:
    objects = [record for record in content if isinstance(record, dict)]
    triples = [row for row in content if isinstance(row, list) and len(row) == len(TRIPLE)]
    if content and len(triples) == len(content):
        return [dict(zip(TRIPLE, row, strict=True)) for row in triples]
    return objects if content and len(objects) == len(content) else None


def _of_catboost(content: Mapping[str, object]) -> list[dict[str, object]] | None:
    rounds, meta = content.get("iterations"), content.get("meta", {})
    if not isinstance(rounds, list) or not isinstance(meta, dict) or not rounds:
        return None
    if not all(isinstance(row, dict) and isinstance(row.get(ROUND), int) for row in rounds):
        return None
    count = meta.get("iteration_count")
    end = {END: count - 1} if isinstance(count, int) and count > 1 else {}
    return [dict(chain(_round(row, meta), end.items())) for row in rounds]


def _round(row: Mapping[str, object], meta: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """One iteration of CatBoost: its lists hold a value a metric, or one such list for each of several data sets."""
    for key, cells in row.items():
        if not isinstance(cells, list):
            yield key, cells
            continue
        names = _names(meta.get("learn_metrics" if key in _texts(meta.get("learn_sets")) else "test_metrics"))
        several = all(isinstance(cell, list) for cell in cells)
        sets = _texts(meta.get("test_sets"))
        for k, values in enumerate(cells if several else [cells]):
            data = key if not several or len(cells) == 1 else sets[k] if len(sets) == len(cells) else f"{key}{k}"
            for i, value in enumerate(values):
                yield f"{data}/{names[i] if i < len(names) else i}", value


def _texts(content: object) -> list[str]:
    return [name for name in content if isinstance(name, str)] if isinstance(content, list) else []


def _names(metrics: object) -> list[str]:
    """The names of the metrics of some data sets, as CatBoost lists them."""
    found = metrics if isinstance(metrics, list) else []
    return [str(one.get("name", k)) if isinstance(one, dict) else str(one) for k, one in enumerate(found)]


def _of_series(content: Mapping[str, object]) -> list[dict[str, object]] | None:
    series = dict(flat(content))
    lists = [cells for cells in series.values() if isinstance(cells, list)]
    if len(lists) < len(series) or not series or len({len(cells) for cells in lists}) > 1 or len(lists[0]) < 2:
        return None
    if not all(_is_number(cell) for cells in lists for cell in cells) or not any(map(_is_known, series)):
        return None
    return [{ROUND: i, **dict(zip(series, row, strict=True))} for i, row in enumerate(zip(*lists, strict=True))]


def _is_number(cell: object) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))


def _is_known(name: str) -> bool:
    """Whether a name says a data set in front of that of a metric, or is that of a result."""
    data, _, rest = name.partition("/")
    return bool(rest and _DATA.fullmatch(plain_name(data))) or log_metric(name).kind in OUTCOMES
