"""Features: the early part of runs as one table of numbers, pure functions of what was seen at a share of the run."""

from predictdyn.features.catalogue import FEATURES as FEATURES
from predictdyn.features.catalogue import GROUPS as GROUPS
from predictdyn.features.catalogue import Feature as Feature
from predictdyn.features.catalogue import group as group
from predictdyn.features.phases import Phases as Phases
from predictdyn.features.tables import scales_for as scales_for
from predictdyn.features.tables import table as table
