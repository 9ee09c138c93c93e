"""The look that all figures share, and how they become SVG.

The background is white, for light and dark pages alike. The same numbers give the same bytes.
"""

import io
from typing import TypeVar

import altair as alt

ChartT = TypeVar("ChartT", alt.LayerChart, alt.HConcatChart, alt.VConcatChart)
FONT = "Helvetica, Arial, sans-serif"
INK, FAINT = "#333333", "#e8e8e8"


def dressed(chart: ChartT, title: str) -> ChartT:
    """A whole figure in the look that all share.

    Args:
        chart: one panel, or several beside each other.
        title: stands above it.
    """
    head = alt.Title(title, anchor="start", frame="bounds", fontSize=15, offset=12, color=INK)
    whole: ChartT = (
        chart.properties(background="white", padding=14, title=head)
        .configure(font=FONT)
        .configure_view(stroke=None)
        .configure_title(color=INK, fontSize=13, fontWeight="normal", anchor="start", frame="group")
        .configure_axis(
            gridColor=FAINT,
            domainColor=INK,
            tickColor=INK,
            labelColor=INK,
            titleColor=INK,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=10,
        )
        .configure_legend(
            labelColor=INK,
            titleColor=INK,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            symbolStrokeWidth=3,
            labelLimit=300,
        )
    )
    return whole


def svg(chart: alt.TopLevelMixin) -> str:
    """The chart as SVG text."""
    written = io.StringIO()
    # A frame is at most some hundred points a run; altair's own limit is for web pages.
    with alt.data_transformers.enable("default", max_rows=None):
        chart.save(written, format="svg")
    return written.getvalue() + "\n"
