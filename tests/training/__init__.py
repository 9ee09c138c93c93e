"""Tests of reformer_seqlen.training."""
