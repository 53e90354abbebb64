"""Ray Tune: trial folders and the states of trials."""

from predictdyn.loaders.ray_tune.source import SOURCE as SOURCE
from predictdyn.loaders.ray_tune.source import load as load
from predictdyn.loaders.ray_tune.source import read as read
from predictdyn.loaders.ray_tune.source import scan as scan
from predictdyn.loaders.ray_tune.source import sniff as sniff
