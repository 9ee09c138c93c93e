"""What the tests on clusters share: a study computed on one machine, to be computed there, too."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.runtime.paths import PARAMS
from tests.clusters.studies import INTERRUPTED
from tests.conftest import CONF, Project, copy_project
from tests.counting_example import commit


@pytest.fixture(scope="session")
def one_machine(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The smoke study with a longer training, computed by `make repro`; tests leave it as it is.

    It is computed once for all of pytest's workers. Its dvc.lock is not committed, so that a clone
    knows nothing of it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "one-machine"
    with FileLock(f"{shared}.lock"):
        if not (shared / "dvc.lock").exists():
            shutil.rmtree(shared, ignore_errors=True)
            shared.mkdir()
            project = copy_project(shared)
            values = compose("smoke", CONF)
            values["runs"][INTERRUPTED]["train"] = {"epochs": 6}
            YAML().dump(values, shared / PARAMS)
            (shared / "dvc.lock").unlink()
            commit(project)
            project.run(sys.executable, "-m", "reformer_seqlen", "repro", "--jobs", "2")
    return Project(shared)


@pytest.fixture
def remote(tmp_path: Path) -> str:
    """A remote in a folder."""
    return str(tmp_path / "remote")
