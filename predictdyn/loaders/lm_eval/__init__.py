"""lm-evaluation-harness: result files of checkpoints."""

from predictdyn.loaders.lm_eval.source import SOURCE as SOURCE
from predictdyn.loaders.lm_eval.source import load as load
from predictdyn.loaders.lm_eval.source import sniff as sniff
