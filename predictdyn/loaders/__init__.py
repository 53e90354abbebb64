"""Loaders: any log becomes `Curves`. `load` reads a path by any source; ``loaders.wide`` and the like are one each."""

from predictdyn.loaders.catalogue import GENERAL as GENERAL
from predictdyn.loaders.catalogue import source as source
from predictdyn.loaders.catalogue import sources as sources
from predictdyn.loaders.detection import Detected as Detected
from predictdyn.loaders.detection import detect as detect
from predictdyn.loaders.engine.options import Option as Option
from predictdyn.loaders.engine.source import Source as Source
from predictdyn.loaders.loading import heard as heard
from predictdyn.loaders.loading import load as load
