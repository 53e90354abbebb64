"""The verbs that users call from Python, over all rooms below; nothing here prints. Their names are in predictdyn."""
