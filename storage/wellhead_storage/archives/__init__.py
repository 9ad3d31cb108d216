"""Archives: which files are some, and unpacking them with no way out of the folder."""
