"""Tests of reformer_seqlen.counting."""
