"""Watching runs: alarms with a known false-alarm rate, and what replays say of them."""

from predictdyn.watch.alarm import Alarm as Alarm
from predictdyn.watch.alarm import Detector as Detector
from predictdyn.watch.alarm import Look as Look
