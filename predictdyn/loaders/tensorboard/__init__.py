"""TensorBoard event files."""

from predictdyn.loaders.tensorboard.source import SOURCE as SOURCE
from predictdyn.loaders.tensorboard.source import load as load
from predictdyn.loaders.tensorboard.source import read as read
from predictdyn.loaders.tensorboard.source import scan as scan
from predictdyn.loaders.tensorboard.source import sniff as sniff
