"""Vega-Lite in, SVG out: a script that draws what stdin holds, both by name as JSON.

It is a process of its own, since a limit on memory makes the JavaScript engine inside end it.
"""

import json
import sys
from typing import Any

from vl_convert import vegalite_to_svg


def _drawn(name: str, plot: dict[str, Any]) -> str:
    try:
        return vegalite_to_svg(plot)
    except ValueError as error:
        message, *_ = str(error).split("\n    at ")
        sys.exit(f"{name}: {message}")


if __name__ == "__main__":
    plots = json.load(sys.stdin)
    json.dump({name: _drawn(name, plot) for name, plot in plots.items()}, sys.stdout)
