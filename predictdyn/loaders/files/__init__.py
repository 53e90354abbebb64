"""What lies on a disk as text, rows, cells and records: no file here knows what a run is."""
