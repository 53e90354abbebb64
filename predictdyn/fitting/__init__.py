"""Fitting: arrays in, arrays out; nothing here knows a table."""
