"""Credentials: every dialect in which a container may receive them, one model, and the dialects of our clients."""
