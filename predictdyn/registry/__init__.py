"""Public data sets by name: what each is, where it lies, and how to fetch, check and load it."""

from predictdyn.registry.fetching import fetch as fetch
from predictdyn.registry.fetching import load as load
from predictdyn.registry.places import cache as cache
from predictdyn.registry.places import place as place
from predictdyn.registry.table import Entry as Entry
from predictdyn.registry.table import bundled as bundled
from predictdyn.registry.table import entry as entry
from predictdyn.registry.table import names as names
