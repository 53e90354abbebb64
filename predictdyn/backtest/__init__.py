"""Backtest: hide the future, forecast it, score it, and say how far to trust the result."""
