"""Where each stage's artefacts live; all but what git keeps are in DVC's cache."""

from pathlib import Path

CONF = Path("conf")
DATA = Path("data")
TEXTS = DATA / "texts"
BASES = DATA / "bases"
TOKENS = DATA / "tokens"
WINDOWS = DATA / "windows"
MODELS = DATA / "models"
HISTORIES = DATA / "histories"
TIMINGS = DATA / "timings"
EVALUATIONS = DATA / "evaluations"
MEMORY = DATA / "memory"
WORK = Path("work")
"""What an interrupted attempt leaves for the next one; ignored by git and DVC."""
