"""Tests of `reformer-seqlen distribute` on real clusters: `make test-distribute`."""
