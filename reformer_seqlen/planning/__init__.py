"""What a study would take, reckoned and measured before it is started."""
