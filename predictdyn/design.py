"""Design: choose what to run next from what finished runs say."""

from predictdyn.laws.budget import training_cost as training_cost
from predictdyn.laws.next_runs import NextRuns as NextRuns
from predictdyn.laws.next_runs import next_runs as next_runs
from predictdyn.laws.optimal import Optimum as Optimum
from predictdyn.laws.optimal import optimal as optimal
