"""Features: the early part of runs as one table of numbers, pure functions of what was seen at a share of the run."""

from predictdyn.features.catalogue import (
    FEATURES as FEATURES,
    GROUPS as GROUPS,
    Feature as Feature,
    group as group,
)
from predictdyn.features.phases import Phases as Phases
from predictdyn.features.tables import scales_for as scales_for, table as table
