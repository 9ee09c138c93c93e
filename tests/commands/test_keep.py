"""`make keep`: a study is kept whole, shown in README.md, and a new run compared with it."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.slow
MARKERS = "<!-- results:smoke-answer -->\n<!-- /results:smoke-answer -->\n"
FOLDER = Path("results/smoke")


@pytest.fixture
def kept(own_smoke: Project) -> Project:
    """The smoke study, kept, and its answer in README.md."""
    shown = own_smoke.run("python", "-m", "reformer_seqlen", "keep")
    assert shown.startswith("kept in results/smoke: commit it")
    readme = own_smoke.root / "README.md"
    readme.write_text(readme.read_text() + MARKERS)
    own_smoke.run("python", "-m", "stages.report")
    return own_smoke


def check(project: Project, succeed: bool = True) -> str:
    return project.run("python", "-m", "reformer_seqlen", "check", succeed=succeed)


def assert_shown_as_now(kept: Project) -> None:
    """The kept page and figure are those of the study that is here, but for what is of GPUs."""
    folder, results = kept.root / FOLDER, kept.root / "results"
    page = (results / "README.md").read_text(encoding="utf-8")
    own = re.sub(r"\n## On a GPU\n.*?(?=\n## )", "", page, flags=re.DOTALL)
    assert own != page
    assert (folder / "README.md").read_text(encoding="utf-8") == own
    figure = "figures/answer.svg"
    assert (folder / figure).read_bytes() == (results / figure).read_bytes()


def test_a_kept_study_is_shown_and_compared_with(kept: Project) -> None:
    folder = kept.root / FOLDER
    names = {path.name for path in folder.iterdir()}
    assert names == {"README.md", "figures", "metrics", "params.yaml", "plots", "provenance.json"}
    assert_shown_as_now(kept)
    made = json.loads((folder / "provenance.json").read_text())
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=kept.root, capture_output=True, text=True, check=True
    )
    assert made["commit"] == head.stdout.strip()
    assert made["packages"].keys() >= {"dvc", "sentencepiece", "torch", "transformers"}
    assert {"stages/finetune.py", "reformer_seqlen/scoring/loss.py"} <= made["code"].keys()
    assert not any("runtime" in name or "reporting" in name for name in made["code"])
    shown = (kept.root / "README.md").read_text()
    assert re.search(
        r"profile `smoke`, computed by the code of commit [0-9a-f]{10} on .* 0:0\d hours", shown
    )
    assert "![answer](results/smoke/figures/answer.svg)" in shown
    said = check(kept)
    assert "compared with results/smoke byte for byte" in said
    assert "results/smoke: the code that decides its numbers is what computed it" in said
    # Its page and figures follow the code that writes them.
    for name in ("README.md", "figures/answer.svg"):
        (folder / name).write_text("drawn by older code")
    kept.run("python", "-m", "stages.report")
    assert_shown_as_now(kept)


def test_what_no_longer_agrees_is_named(kept: Project) -> None:
    code = kept.root / "reformer_seqlen/scoring/loss.py"
    code.write_text(code.read_text() + "# more\n")
    score = next((kept.root / FOLDER / "metrics/test").glob("*.json"))
    values = json.loads(score.read_text())
    score.write_text(json.dumps({**values, "perplexity": 1.0}))
    params = kept.root / FOLDER / "params.yaml"
    params.write_text(params.read_text().replace("seed: 42", "seed: 43"))
    said = check(kept, succeed=False)
    assert "1 file has changed since (reformer_seqlen/scoring/loss.py)" in said
    assert f"metrics/test/{score.name}: perplexity: committed 1.0, computed" in said
    assert "results/smoke/params.yaml: train.seed: results/smoke/params.yaml has 43" in said


def test_what_is_not_as_it_was_kept_is_named(kept: Project) -> None:
    kept.run("git", "add", "-A")
    kept.run("git", "commit", "-qm", "kept")
    check(kept)
    score = next((kept.root / FOLDER / "metrics/test").glob("*.json"))
    values = json.loads(score.read_text())
    score.write_text(json.dumps({**values, "perplexity": 1.0}))
    (kept.root / FOLDER / "plots/pareto.csv").write_text("")
    (kept.root / FOLDER / "figures/pareto.svg").unlink()
    said = check(kept, succeed=False)
    for name in (f"metrics/test/{score.name}", "plots/pareto.csv", "figures/pareto.svg"):
        name = f"results/smoke/{name}"
        assert f"{name}: all of it: is not what was kept: `git checkout HEAD {name}`" in said


def test_only_a_finished_study_of_committed_code_is_kept(own_smoke: Project) -> None:
    def refused() -> str:
        return own_smoke.run("python", "-m", "reformer_seqlen", "keep", succeed=False)

    code = own_smoke.root / "reformer_seqlen/scoring/loss.py"
    text = code.read_text()
    code.write_text(text + "# more\n")
    assert "not committed: reformer_seqlen/scoring/loss.py; commit first" in refused()
    code.write_text(text)
    params = own_smoke.root / "params.yaml"
    values = params.read_text()
    params.write_text(values.replace("seed: 42", "seed: 43"))
    assert "params.yaml is not what its profile gives" in refused()
    params.write_text(values)
    (own_smoke.root / FOLDER).mkdir()
    assert f"{FOLDER} holds something else than a kept study: give the profile" in refused()
    (own_smoke.root / FOLDER).rmdir()
    model = next((own_smoke.root / "data/evaluations").iterdir()) / "scores.json"
    model.unlink()
    assert "stale: evaluate@" in refused()
    assert not (own_smoke.root / FOLDER).exists()
