"""Stores: one interface over every place a model can live."""
