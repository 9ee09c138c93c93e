"""Tests of reformer_seqlen.distribution."""
