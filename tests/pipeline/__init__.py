"""Tests of reformer_seqlen.pipeline."""
