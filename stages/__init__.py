"""The stages of the study, one module each, and packages of what they share."""

import os

# torch's threads spin while they wait for each other. On a machine that does anything else at the
# same time that costs more than half of the speed; sleeping costs next to nothing. OpenMP reads
# this once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
