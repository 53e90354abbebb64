"""`python -m predictdyn` is the command `predictdyn`."""

from predictdyn.cli import main

main()
