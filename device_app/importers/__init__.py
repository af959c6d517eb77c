"""A person's history from other places: files read into rows, rows matched to the catalogue."""
