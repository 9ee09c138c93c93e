"""Where everything lives: a person's files, each stage's artefacts, what git keeps of results."""

from pathlib import Path

PARAMS = Path("params.yaml")
CONF = Path("conf")
DVC_FILE = Path("dvc.yaml")
README = Path("README.md")

# What stages write and DVC keeps.
DATA = Path("data")
TEXTS = DATA / "texts"
BASES = DATA / "bases"
BASE_TOKENS = DATA / "base_tokens"
TOKENIZERS = DATA / "tokenizers"
TOKENS = DATA / "tokens"
COUNTS = DATA / "counts"
WINDOWS = DATA / "windows"
MODELS = DATA / "models"
HISTORIES = DATA / "histories"
TIMINGS = DATA / "timings"
EVALUATIONS = DATA / "evaluations"
MEMORY = DATA / "memory"

# What the report writes and git keeps.
METRICS = Path("metrics")
PLOTS = Path("plots")
RESULTS = Path("results")
REPORT = RESULTS / "README.md"
FIGURES = RESULTS / "figures"

GPU_RESULTS = RESULTS / "gpu"
"""What `python -m benchmarks.gpu` wrote on machines with a GPU: a folder for each card."""

WORK = Path("work")
"""What an interrupted attempt leaves for the next one; ignored by git and DVC."""
