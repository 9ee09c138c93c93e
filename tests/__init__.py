"""Tests that read like examples; the fast ones first."""
