"""Folders of Lightning's CSVLogger: version_0/metrics.csv, with hparams.yaml beside."""

from predictdyn.loaders.lightning.source import SOURCE as SOURCE
from predictdyn.loaders.lightning.source import load as load
from predictdyn.loaders.lightning.source import read as read
from predictdyn.loaders.lightning.source import scan as scan
from predictdyn.loaders.lightning.source import sniff as sniff
