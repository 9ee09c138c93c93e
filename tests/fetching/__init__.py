"""Tests of reformer_seqlen.fetching."""
