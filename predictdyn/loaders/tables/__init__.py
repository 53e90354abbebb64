"""What tables of logs have in common: their clock, their runs, which files are one run."""
