"""The stages of the study, one module each, and packages of what they share."""

import os

from stages.study.console import end_at_interrupts
from stages.study.heap import keep_freed_memory

# torch's threads wait for each other at every operation. Spinning long costs nine tenths of the
# speed when the machine does anything else, sleeping at once costs a third of it when it does not:
# a short spin is the middle. OpenMP reads this once, when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

keep_freed_memory()
end_at_interrupts()
