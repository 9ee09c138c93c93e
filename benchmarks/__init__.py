"""Benchmarks that people run by hand; none of them is a stage."""

import stages as stages  # before torch: it says how torch's threads wait
