"""The stages of dvc.yaml, one module each, run as `python -m stages.NAME KEY`."""

import sys
from importlib.util import find_spec

NEEDED = ("pydantic", "ruamel", "sentencepiece", "torch", "transformers")
"""Some of what a Python has that the project is installed in."""

if sys.argv[0] == "-m":  # `python -m` imports the package before the stage that it runs
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.exit(
            f"error: the `python` on PATH is {sys.executable}, which lacks {', '.join(missing)}: "
            "run `make repro`, or put .venv/bin first in PATH (`. .venv/bin/activate`) before "
            "`dvc repro`"
        )

    from reformer_seqlen.runtime.ranks import was_started
    from reformer_seqlen.runtime.warm import run_there

    if was_started():
        from reformer_seqlen.runtime.process import end_with_parent

        end_with_parent()
    run_there()
    # Only now, since a stage that has run elsewhere needs none of it.
    from reformer_seqlen.runtime.process import prepare

    prepare()
