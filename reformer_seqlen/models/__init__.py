"""Base models: their configuration from params.yaml, and their model cards."""
