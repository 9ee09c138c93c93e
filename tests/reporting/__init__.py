"""Tests of reformer_seqlen.reporting."""
