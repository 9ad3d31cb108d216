"""The engine's own start, shortened and explained: what is here must never be able to prevent it."""
