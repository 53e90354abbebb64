"""What holds for every log, whoever wrote it: one file a rule."""
