"""Tests of reformer_seqlen.scoring."""
