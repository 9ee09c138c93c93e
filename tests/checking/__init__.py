"""Tests of `reformer_seqlen.checking`."""
