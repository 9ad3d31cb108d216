"""The weights arrive in shared memory while vLLM starts: `docs/overlap.md`."""
