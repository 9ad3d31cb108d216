"""The storage initializer: from a model's URI to a verified directory and a load plan."""

__version__ = "0.1.0"
