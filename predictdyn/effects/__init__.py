"""Effects of an intervention: what arms beside their baseline runs say of a run that may be changed on the way."""

from predictdyn.effects.comparison import comparison as comparison
from predictdyn.effects.planned import Intervened as Intervened
from predictdyn.effects.planned import Intervention as Intervention
from predictdyn.effects.planned import check as check
from predictdyn.effects.planned import intervened as intervened
