"""What is sent to workers, and what is refused before."""

import json
from pathlib import Path

import pytest

from reformer_seqlen.distribution import parcel, worker
from reformer_seqlen.distribution.cluster import problems_here, refuse, some
from reformer_seqlen.distribution.parcel import Remote
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import Project
from tests.counting_example import commit, counting_repository

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A committed repository without a remote, in the working folder."""
    project = counting_repository(tmp_path / "study", None)
    monkeypatch.chdir(project.root)
    return project


def test_all_that_is_wrong_here_is_refused_in_one_message(project: Project) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text() + "\n")
    Path("new.py").touch()
    with pytest.raises(StudyError) as refused:
        refuse(problems_here(parcel.default_remote()))
    assert str(refused.value).splitlines() == [
        "nothing was submitted:",
        "- DVC has no default remote, through which workers get and give results: "
        "`dvc remote add --default storage s3://bucket/path`, or a folder that all machines see",
        "- workers compute the last commit, and these files differ from it: new.py, params.yaml: "
        "`git add` and `git commit` them, or `git stash --include-untracked`",
    ]


def test_what_a_study_writes_itself_may_differ(project: Project) -> None:
    project.dvc("remote", "add", "--quiet", "--local", "--default", "storage", "../remote")
    for name in ("README.md", "results/README.md", "metrics/validation/a.json", "dvc.lock"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    remote = parcel.default_remote()
    assert problems_here(remote) == []
    assert parcel.uncommitted() == (
        [],
        ["README.md", "dvc.lock", "metrics/validation/a.json", "results/README.md"],
    )
    assert remote is not None
    assert remote.url == str(project.root.parent / "remote")
    assert remote.config().splitlines() == [
        "[core]",
        "    remote = storage",
        "['remote \"storage\"']",
        f"    url = {remote.url}",
    ]


def test_a_remote_over_http_keeps_no_run_cache(project: Project) -> None:
    [problem] = problems_here(Remote("web", "https://example.org/dvc", {}))
    assert problem == (
        "the remote https://example.org/dvc keeps no run-cache: take one that is not HTTP"
    )


def test_a_remote_that_is_not_the_same_there_is_found_out(project: Project, tmp_path: Path) -> None:
    """As a folder of one machine is: it may exist on others, with something else in it."""
    project.dvc("remote", "add", "--quiet", "--default", "storage", str(tmp_path / "remote"))
    commit(project)
    folder = tmp_path / "parcel"
    parcel.pack(folder, parcel.default_remote())
    said = worker.try_out(folder, tmp_path / "clones")
    assert said["problems"] == [
        f"{tmp_path}/remote is not the remote here, but something else",
    ]
    assert parcel.leave_mark(folder) is None
    assert worker.try_out(folder, tmp_path / "clones")["problems"] == []


def test_a_clone_without_its_history_can_be_sent(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "more.md").touch()
    commit(project)
    address = f"file://{project.root}"
    project.run("git", "clone", "--quiet", "--depth", "1", address, str(tmp_path / "shallow"))
    shallow = Project(tmp_path / "shallow")
    shallow.dvc("remote", "add", "--quiet", "--local", "--default", "r", str(tmp_path / "remote"))
    monkeypatch.chdir(shallow.root)
    folder = tmp_path / "parcel"
    parcel.pack(folder, parcel.default_remote())
    assert parcel.leave_mark(folder) is None
    assert worker.try_out(folder, tmp_path / "clones")["problems"] == []
    assert (tmp_path / "clones/1/more.md").exists()


def test_other_versions_are_named() -> None:
    found = {"python": "2.7", "numpy": "1.0", "no-such-package": "3.1"}
    python, numpy, missing = worker.differences(found)
    assert python.endswith(", 2.7 is wanted")
    assert numpy.endswith(", 1.0 is wanted")
    assert missing == "no-such-package is not installed, 3.1 is wanted"
    assert worker.differences(parcel.versions(None)) == []


def test_dvc_lock_takes_in_what_workers_have_written(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "parcel"
    parcel.pack(folder, None)
    entry = {"cmd": "true", "outs": [{"path": "a.txt", "md5": "1"}]}
    (folder / "locks/write@a.json").write_text(json.dumps(entry))
    assert parcel.finished(folder) == {"write@a"}
    parcel.take_in(folder, {"write@a"})
    assert worker.known_stages(folder) == {"write@a": entry}
    assert parcel.LOCK.read_text() == (
        "schema: '2.0'\n"
        "stages:\n"
        "  write@a:\n"
        "    cmd: 'true'\n"
        "    outs:\n"
        "    - path: a.txt\n"
        "      md5: '1'\n"
    )


def test_a_long_list_is_cut() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some(list("abcdefgh")) == "a, b, c, d, e and 3 more"
