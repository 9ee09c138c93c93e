"""Tests of reformer_seqlen.planning."""
