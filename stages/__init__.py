"""The stages of dvc.yaml, one module each, run as `python -m stages.NAME KEY`."""

import sys

from reformer_seqlen.runtime.process import prepare

if sys.argv[0] == "-m":  # `python -m` imports the package before the stage that it runs
    prepare()
