"""Fetching objects into files: parts in parallel, temporary names, publication in one step at the end."""
