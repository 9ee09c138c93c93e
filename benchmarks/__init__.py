"""Benchmarks that people run by hand; none of them is a stage."""

import sys

from reformer_seqlen.runtime.process import prepare

if sys.argv[0] == "-m":  # `python -m` imports the package before the benchmark that it runs
    prepare()
