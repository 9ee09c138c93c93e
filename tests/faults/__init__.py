"""Kills and faults in the smoke study: what is interrupted ends with the same bytes."""
