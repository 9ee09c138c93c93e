"""Tests of reformer_seqlen.memory."""
