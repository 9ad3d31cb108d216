"""The process that brings the weights into shared memory while the engine starts."""
