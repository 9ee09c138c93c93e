"""Tests of reformer_seqlen.parameters."""
