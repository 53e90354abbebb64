"""Weights & Biases: its own files, and runs of a server."""

from predictdyn.loaders.wandb.source import SOURCE as SOURCE
from predictdyn.loaders.wandb.source import load as load
from predictdyn.loaders.wandb.source import read as read
from predictdyn.loaders.wandb.source import scan as scan
from predictdyn.loaders.wandb.source import sniff as sniff
