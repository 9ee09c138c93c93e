"""Base models: what they are made of, and how a fetched one becomes a folder of ours."""
