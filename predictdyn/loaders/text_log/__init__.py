"""Logs as people print them: lines, bars, tables, results of evaluations."""

from predictdyn.loaders.text_log.source import SOURCE as SOURCE
from predictdyn.loaders.text_log.source import load as load
from predictdyn.loaders.text_log.source import read as read
from predictdyn.loaders.text_log.source import scan as scan
from predictdyn.loaders.text_log.source import sniff as sniff
