"""The model server: from a load plan to a supervised vLLM."""
