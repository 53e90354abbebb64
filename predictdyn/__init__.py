"""predictdyn: forecast what a training run will become, from its first steps, and prove it by replaying the past."""

__version__ = "0.1.0"
