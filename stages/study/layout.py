"""Where each stage's artefacts live; all but what git keeps are in DVC's cache."""

from pathlib import Path

TEXTS = Path("data/texts")
BASES = Path("data/bases")
TOKENS = Path("data/tokens")
WINDOWS = Path("data/windows")
MODELS = Path("data/models")
HISTORIES = Path("data/histories")
TIMINGS = Path("data/timings")
EVALUATIONS = Path("data/evaluations")
MEMORY = Path("data/memory")
WORK = Path("work")
"""What an interrupted attempt leaves for the next one; ignored by git and DVC."""
