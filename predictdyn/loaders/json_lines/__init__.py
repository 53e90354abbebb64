"""JSON: one object a line, one document of rows, or one object a file."""

from predictdyn.loaders.json_lines.source import SOURCE as SOURCE
from predictdyn.loaders.json_lines.source import load as load
from predictdyn.loaders.json_lines.source import read as read
from predictdyn.loaders.json_lines.source import scan as scan
from predictdyn.loaders.json_lines.source import sniff as sniff
