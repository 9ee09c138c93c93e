"""Tests of reformer_seqlen.commands."""
