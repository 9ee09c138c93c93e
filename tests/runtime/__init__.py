"""Tests of reformer_seqlen.runtime."""
