"""Watching runs: alarms with a known false-alarm rate, and what replays say of them."""

from predictdyn.watch.alarm import Alarm as Alarm
from predictdyn.watch.alarm import Detector as Detector
from predictdyn.watch.alarm import Look as Look
from predictdyn.watch.keeping import load as load
from predictdyn.watch.learning import LearntDetector as LearntDetector
from predictdyn.watch.learning import learn as learn
