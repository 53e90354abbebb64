"""Fitting: arrays in, arrays out; nothing here knows a table."""

import sys

# Whether JAX is ours alone: where somebody else imported it before us, its settings are theirs (see on_cpu.py).
OWN_JAX = "jax" not in sys.modules
