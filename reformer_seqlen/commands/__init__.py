"""The commands that people type: plan, check, repro, sample, memory; nothing imports them."""
