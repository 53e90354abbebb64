"""Publishing: a folder of results made fit for others, shown, and put into a folder or a branch of a repository."""
