"""Public data sets by name: what each is, where it lies, and how to fetch, check and load it."""

from predictdyn.cache import cache as cache
from predictdyn.datasets.fetching import fetch as fetch
from predictdyn.datasets.fetching import load as load
from predictdyn.datasets.places import place as place
from predictdyn.datasets.table import Entry as Entry
from predictdyn.datasets.table import bundled as bundled
from predictdyn.datasets.table import entry as entry
from predictdyn.datasets.table import names as names
