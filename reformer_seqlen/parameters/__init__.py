"""What params.yaml may hold, as typed objects that are checked before anything runs."""
