"""Copies of models: made by `wellhead mirror`, found and used by `wellhead init`."""
