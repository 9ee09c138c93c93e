"""Vega-Lite in, SVG out: a script that draws what stdin holds, both by name as JSON.

It is a process of its own, since a limit on memory makes the JavaScript engine inside end it.
"""

import json
import sys

import vl_convert

if __name__ == "__main__":
    specifications = json.load(sys.stdin)
    json.dump(
        {name: vl_convert.vegalite_to_svg(it) for name, it in specifications.items()}, sys.stdout
    )
