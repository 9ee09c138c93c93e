"""What several tests of the report share: the results of a finished study."""

from pathlib import Path

import pytest

from tests.report_example import runs, write_results


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A folder with the results of a finished study."""
    write_results(tmp_path / "data", runs())
    return tmp_path
