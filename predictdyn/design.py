"""Design: choose what to run next, and how its learning rate goes, from what finished runs say."""

from predictdyn.api.cooldowns import DesignedCooldown as DesignedCooldown
from predictdyn.api.cooldowns import cooldown as cooldown
from predictdyn.api.schedules import DesignedSchedule as DesignedSchedule
from predictdyn.api.schedules import schedule as schedule
from predictdyn.laws.budget import training_cost as training_cost
from predictdyn.laws.next_runs import NextRuns as NextRuns
from predictdyn.laws.next_runs import next_runs as next_runs
from predictdyn.laws.optimal import Optimum as Optimum
from predictdyn.laws.optimal import optimal as optimal
