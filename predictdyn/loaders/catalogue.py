"""The table of all sources: each by its name, with the module that holds it; imported when it is used."""

from __future__ import annotations

from importlib import import_module

from predictdyn.loaders.engine.source import Source

SOURCES = {
    name: f"predictdyn.loaders.{name}"
    for name in (
        "huggingface",
        "json_lines",
        "keras",
        "lightning",
        "lm_eval",
        "long",
        "mlflow",
        "olmo",
        "optuna",
        "ray_tune",
        "stable_baselines3",
        "tensorboard",
        "text_log",
        "tidy",
        "wandb",
        "wandb_export",
        "wide",
    )
}
# Asked last, in this order: formats so general that the files of other tools look like them, too.
GENERAL = ("long", "json_lines", "wide", "text_log")


def sources() -> list[str]:
    """The names of all sources: nothing is imported.

    >>> [name for name in sources() if name in ("lm_eval", "tidy", "wide")]
    ['lm_eval', 'tidy', 'wide']
    """
    return list(SOURCES)


def source(name: str) -> Source:
    """The source of a name; ValueError, one line, where there is none."""
    if name not in SOURCES:
        raise ValueError(f"no source {name!r}; known are {', '.join(SOURCES)}")
    found: Source = import_module(SOURCES[name]).SOURCE
    return found
