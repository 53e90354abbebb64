"""Inside other people's training loops: a monitor, and callbacks of trainers that feed it. None is needed to import."""
