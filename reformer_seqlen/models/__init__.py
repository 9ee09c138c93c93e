"""Causal language models of every kind, from configurations and checkpoints."""
