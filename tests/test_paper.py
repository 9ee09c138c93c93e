"""The paper profile: cut down against stand-in servers, and under DVC without a network."""

import math
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from safetensors.torch import load_file

from reformer_seqlen.runtime.files import read_json
from tests.conftest import PATIENCE_SECONDS, ROOT, Project, copy_project, digests, stages_run
from tests.paper_example import CHECKPOINT_COMMIT, SPLITS, PaperSources, paper_sources

pytestmark = pytest.mark.slow

RUNS = ("wikitext-2-256", "ptb-256", "enwik8-512")
"""One of each corpus, for the time they take."""
MEMORY_ROW = "cp-axial-256"
ENWIK8_ROWS = 1500
MODEL = "reformer-crime-and-punishment"
PROFILE = YAML(typ="safe").load(ROOT / "conf/profile/paper.yaml")
MEMORY = YAML(typ="safe").load(ROOT / "conf/memory/published.yaml")
KEPT = ("data/texts/ptb", "data/models", "data/evaluations", "metrics", "plots")


def cut_down(sources: PaperSources) -> list[str]:
    """Arguments of `dvc exp run`: the profile, its small sources, few runs, short trainings."""
    changes = [
        "profile=paper",
        *sources.overrides(),
        *(f"~runs.{run}" for run in PROFILE["runs"] if run not in RUNS),
        *(f"~memory.rows.{row}" for row in MEMORY["rows"] if row != MEMORY_ROW),
        f"memory.rows.{MEMORY_ROW}.measure=false",
        "memory.fits=[]",
        "memory.training.layers=[6]",
        "memory.training.sequence_lengths=[256]",
        *(f"~memory.training.curves.{curve}" for curve in list(MEMORY["training"]["curves"])[1:]),
        "train.epochs=1",
        f"+corpora.enwik8.first_rows={ENWIK8_ROWS}",
    ]
    return [argument for change in changes for argument in ("-S", change)]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperSources]:
    with paper_sources(tmp_path_factory.mktemp("sources")) as running:
        yield running


@pytest.fixture(scope="module")
def paper(sources: PaperSources, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with the cut-down paper study, whose results DVC has as those of its stages."""
    project = copy_project(tmp_path_factory.mktemp("paper"))

    def run(*command: str) -> None:
        home = str(tmp_path_factory.getbasetemp() / "home")
        project.run(*command, HF_ENDPOINT=sources.hub.url, HF_HUB_OFFLINE="0", HF_HOME=home)

    # One stage under DVC, which writes params.yaml; the others in one process, to start fewer.
    run("dvc", "exp", "run", *cut_down(sources), "download@wikitext-2")
    run(sys.executable, "-m", "tests.in_process")
    project.dvc("commit", "--force", "--quiet")
    return project


def test_every_run_is_trained_and_scored_as_published(paper: Project) -> None:
    assert paper.dvc("status", "--quiet") == ""
    measured = paper.root / "metrics/validation"
    assert {path.stem for path in measured.iterdir()} == {*RUNS}
    for run in RUNS:
        history = read_json(paper.root / f"data/histories/{run}.json")
        windows = read_json(paper.root / f"data/windows/{run}/report.json")
        assert windows["policy"] == "published"
        count = windows["train"]["published"]["windows"]
        assert history["updates"] == math.ceil(count / 16)
        assert history["steps"][0]["learning_rate"] == pytest.approx(2e-4)
        loss = history["evaluations"][-1]["validation_loss"]
        perplexity = read_json(measured / f"{run}.json")["perplexity"]
        assert perplexity == pytest.approx(math.exp(loss), rel=1e-4)


def test_the_texts_are_the_sources_bytes(paper: Project, sources: PaperSources) -> None:
    for corpus in ("wikitext-2", "ptb"):
        for split in SPLITS:
            text = (paper.root / f"data/texts/{corpus}/{split}.txt").read_bytes()
            assert text == sources.texts[corpus][split]
            tokens = read_json(paper.root / f"data/tokens/{corpus}-{MODEL}/tokens.json")
            assert tokens["splits"][split]["rows"] == text.count(b"\n")


def test_every_licence_is_kept_with_the_text_and_shown(paper: Project) -> None:
    page = (paper.root / "results/README.md").read_text()
    for corpus, declared in PROFILE["corpora"].items():
        licence = next(iter(declared["files"].values()))["licence"]
        assert read_json(paper.root / f"data/texts/{corpus}/source.json")["licence"] == licence
        assert licence in page


def test_pieces_and_unknown_rates_are_reported_for_every_corpus(paper: Project) -> None:
    page = (paper.root / "results/README.md").read_text()
    table = page.partition("\n### Pieces\n")[2].partition("\n#")[0]
    for corpus in PROFILE["corpora"]:
        tokens = read_json(paper.root / f"data/tokens/{corpus}-{MODEL}/tokens.json")["splits"]
        [row] = [line for line in table.splitlines() if line.startswith(f"| {corpus} ")]
        cells = [cell.strip() for cell in row.split("|")[3:6]]
        assert cells == [f"{tokens[split]['tokens']:,}" for split in SPLITS]
        assert row.count("%") == 2


def test_enwik8_is_lines_shuffled_and_split_by_their_number(
    paper: Project, sources: PaperSources
) -> None:
    expected = sources.texts["enwik8"]["all"].splitlines(keepends=True)[:ENWIK8_ROWS]
    folder = paper.root / "data/texts/enwik8"
    parts = [(folder / f"{split}.txt").read_bytes().splitlines(keepends=True) for split in SPLITS]
    lines = [line for part in parts for line in part]
    assert lines != expected
    assert sorted(lines) == sorted(expected)
    shares = [len(part) / len(lines) for part in parts]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=1 / len(lines))


def test_the_checkpoint_is_whole_and_its_commit_is_recorded(paper: Project) -> None:
    base = paper.root / "data/bases" / MODEL
    card = read_json(base / "card.json")
    assert card["checkpoint"]["revision"] == CHECKPOINT_COMMIT
    assert card["parameters"]["position_table"] == 524288 * 8
    weights = load_file(base / "model.safetensors")
    assert weights["lm_head.bias"].abs().min() > 0
    trained = load_file(paper.root / "data/models/enwik8-512/model.safetensors")
    assert (trained["lm_head.bias"] - weights["lm_head.bias"]).abs().max() < 0.01


def test_the_report_puts_published_numbers_beside_ours(paper: Project) -> None:
    page = (paper.root / "results/README.md").read_text()
    table = page.partition("\n### Side by side: published, ours, ours / published\n")[2].partition(
        "\n#"
    )[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()]
    shown = {(row[2], row[4]): row[5:8] for row in rows if len(row) > 7 and row[2] in RUNS}
    published = {place: cells[0] for place, cells in shown.items()}
    assert (
        published.items()
        >= {
            ("wikitext-2-256", "perplexity"): "14.49",
            ("wikitext-2-256", "updates"): "~ 43,191",
            ("enwik8-512", "perplexity"): "67.08",
            ("enwik8-512", "runtime"): "7:05:43.91",
        }.items()
    )
    assert {what for _, what in shown} >= {"perplexity", "runtime", "updates"}
    assert all(len(cells) == 3 and all(cells) for cells in shown.values())
    assert "No run yet for the published cells" in table


def test_nothing_that_git_would_keep_holds_text_of_ptb(
    paper: Project, sources: PaperSources
) -> None:
    listed = paper.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    lines = [line.strip() for line in sources.texts["ptb"]["train"].splitlines()[:50]]
    paths = [paper.root / name for name in filter(None, listed.split("\0"))]
    for path in (path for path in paths if path.is_file()):  # a figure may be gone: no such study
        content = path.read_bytes()
        assert not any(line in content for line in lines), path


def test_without_a_network_it_fails_at_once_says_what_to_do_and_loses_nothing(
    paper: Project, tmp_path: Path
) -> None:
    """Over a finished study of the same names: DVC takes the old text away, but not the cache."""
    shutil.copytree(paper.root, tmp_path / "paper", symlinks=True)
    own = Project(tmp_path / "paper")
    own.run("git", "add", "-A")
    own.run("git", "commit", "-qm", "the small study")
    before, others = digests(own.root, "data", "metrics", "plots"), digests(own.root, *KEPT)
    with socket.socket() as nobody:  # bound, but nobody listens: every connection is refused
        nobody.bind(("127.0.0.1", 0))
        place = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        began = time.monotonic()
        printed = own.run(
            *("dvc", "exp", "run", "-S", "profile=paper"),
            succeed=False,
            HF_ENDPOINT=place,
            HF_HUB_OFFLINE="0",
            HF_HOME=str(tmp_path / "home"),
        )
        seconds = time.monotonic() - began
    assert stages_run(printed) == ["download@wikitext-2"]
    assert "on the hub: CC BY-SA" in printed
    assert seconds < PATIENCE_SECONDS
    message = printed.partition("error: ")[2].partition("ERROR: ")[0]
    assert message.startswith(
        "corpora.wikitext-2.files.train: "
        "cannot fetch Salesforce/wikitext (wikitext-2-raw-v1, train)"
    )
    for part in (place, "refused", "sources.mirror", "REFORMER_SEQLEN_MIRROR", "kind: path"):
        assert part in message
    assert "Traceback" not in printed
    assert printed.count("error: ") == 1
    assert list((own.root / "data/texts").glob("*wikitext-2*")) == []
    assert digests(own.root, *KEPT) == others
    changed = own.run("git", "status", "--porcelain").split()
    assert changed == ["M", "params.yaml"]
    own.run("git", "checkout", "-q", "params.yaml")
    own.dvc("checkout")
    assert digests(own.root, "data", "metrics", "plots") == before
