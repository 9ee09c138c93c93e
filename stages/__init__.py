"""The stages of dvc.yaml, one module each, run as `python -m stages.NAME KEY`."""

import sys

from reformer_seqlen.runtime.warm import run_there

if sys.argv[0] == "-m":  # `python -m` imports the package before the stage that it runs
    run_there()
    # Only now, since a stage that has run elsewhere needs none of it.
    from reformer_seqlen.runtime.process import prepare

    prepare()
