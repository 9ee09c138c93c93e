"""Tests of reformer_seqlen.text.pieces."""
