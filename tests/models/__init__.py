"""Tests of reformer_seqlen.models."""
