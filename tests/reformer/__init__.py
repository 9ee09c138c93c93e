"""Tests of reformer_seqlen.reformer."""
