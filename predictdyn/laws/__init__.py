"""Scaling laws: how a target depends on the plan of a run, with a posterior over structures and numbers."""

from predictdyn.laws.law import FEWEST as FEWEST
from predictdyn.laws.law import Law as Law
from predictdyn.laws.law import law_of as law_of
