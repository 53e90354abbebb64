"""Optuna: trials in SQLite or in a journal."""

from predictdyn.loaders.optuna.source import SOURCE as SOURCE
from predictdyn.loaders.optuna.source import load as load
from predictdyn.loaders.optuna.source import read as read
from predictdyn.loaders.optuna.source import scan as scan
from predictdyn.loaders.optuna.source import sniff as sniff
