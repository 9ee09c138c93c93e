"""Which modules decide what a module computes."""

from pathlib import Path

import pytest

from reformer_seqlen.runtime.code import deciding_modules

FILES = {
    "stages/__init__.py": '"""Stages."""',
    "stages/score.py": """
        import numpy
        from typing import TYPE_CHECKING
        from reformer_seqlen.text import windows
        from reformer_seqlen.runtime.messages import text as messages
        if TYPE_CHECKING:
            from reformer_seqlen.model import Model
        def main():
            import reformer_seqlen.lazy.late
        if __name__ == "__main__":
            from reformer_seqlen.commands.stage import run
    """,
    "reformer_seqlen/__init__.py": '"""The library."""',
    "reformer_seqlen/text/__init__.py": '"""Text."""',
    "reformer_seqlen/text/windows.py": "from reformer_seqlen.text import tokens",
    "reformer_seqlen/text/tokens.py": "",
    "reformer_seqlen/text/unused.py": "",
    "reformer_seqlen/model.py": "",
    "reformer_seqlen/lazy/__init__.py": "LIMIT = 3",
    "reformer_seqlen/lazy/late.py": "",
    "reformer_seqlen/runtime/__init__.py": '"""Talks."""',
    "reformer_seqlen/runtime/messages/__init__.py": '"""Words."""',
    "reformer_seqlen/runtime/messages/text.py": "from reformer_seqlen.text import unused",
    "reformer_seqlen/commands/stage.py": "",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of a few modules."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(line.removeprefix("        ") for line in text.splitlines()))
    return tmp_path


def test_all_that_is_imported_counts_but_what_talks_and_what_runs_it(project: Path) -> None:
    found = deciding_modules(project / "stages/score.py", project)
    assert {path.relative_to(project).as_posix() for path in found} == {
        "stages/score.py",
        "reformer_seqlen/text/windows.py",
        "reformer_seqlen/text/tokens.py",
        "reformer_seqlen/model.py",  # for types alone
        "reformer_seqlen/lazy/__init__.py",  # holds more than a docstring
        "reformer_seqlen/lazy/late.py",  # inside a function
    }
