"""Let `dvc plots show` draw without a network: `python -m reformer_seqlen.commands.plots_page`.

It writes DVC's page again with Vega in it and has this clone's DVC use that one. git keeps neither.
"""

import subprocess
import sys
from pathlib import Path

import vl_convert

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import whole_file

PAGE = Path(".dvc/plots.html")
WITH_VEGA = Path(".dvc/plots.local.html")
PLACE = '<script id="vega"></script>'
DRAW = "window.vegaEmbed = (place, plot) => plot.data && vegaEmbed(place, plot, {renderer: 'svg'});"
"""What DVC's page calls for each plot; one without rows comes without data."""


def main() -> None:
    """Write the page with Vega.

    Raises:
        StudyError: this is not the project's folder, or DVC refuses.
    """
    if not PAGE.exists():
        raise StudyError(f"{PAGE} is missing: run this in the project's folder")
    script = vl_convert.javascript_bundle(DRAW).replace("</script", "<\\/script")
    page = PAGE.read_text(encoding="utf-8").replace(PLACE, f"<script>{script}</script>")
    with whole_file(WITH_VEGA) as partial:
        partial.write_text(page, encoding="utf-8")
    dvc = [sys.executable, "-m", "dvc", "config", "--local"]
    if subprocess.run([*dvc, "plots.html_template", WITH_VEGA.name], check=False).returncode:
        raise StudyError(f"DVC could not be set to use {WITH_VEGA}: its message is above")


if __name__ == "__main__":
    from reformer_seqlen.runtime.console import run

    run(main)
