"""The memory figures: tidy frames in, SVG out.

The model of a memory row has the same colour in every figure that it is in. The colours are Okabe
and Ito's, which people who see fewer colours can tell apart as well.
"""

from collections import Counter
from collections.abc import Sequence

import altair as alt
import pandas as pd

from reformer_seqlen.reporting.look import INK, dressed, svg
from reformer_seqlen.reporting.memory_frames import BATCH, LENGTH

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C6D31")
USES = {
    "weights": "#4D4D4D",
    "position table": "#A6A6A6",
    "activations": "#0072B2",
    "logits": "#56B4E9",
    "cache": "#E69F00",
    "gradients": "#009E73",
    "optimizer": "#CC79A7",
    "inputs": "#000000",
}
"""What memory is for, in the order in which it is stacked."""
ROW_HEIGHT = 19
THOUSANDS, TICKS = ",d", 5


def _distinct(column: pd.Series) -> list[str]:
    """The values of a column, in the order in which they come."""
    return [str(value) for value in dict.fromkeys(column)]


def _colour(field: str, names: Sequence[str], drawn: Sequence[str]) -> alt.Color:
    """A colour for each of `names`, the same whichever of them are drawn and in the legend."""
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
    return alt.Color(
        f"{field}:N",
        title="model",
        scale=alt.Scale(domain=list(names), range=colours),
        legend=alt.Legend(
            values=list(drawn), symbolType="circle", symbolStrokeWidth=0, symbolSize=90
        ),
    )


def memory_figure(frame: pd.DataFrame) -> str:
    """Memory against sequence length, doubling from tick to tick, one line per model.

    Args:
        frame: `memory_frames`' memory.
    """
    names = _distinct(frame["series"])
    panels = [
        _against_length(frame, line, ring, title, names)
        for line, ring, title in (
            ("predicted", "published", "On a GPU: ― predicted, ○ published"),
            ("predicted_in_use", "measured", "In use: ― predicted, ○ measured here"),
        )
        if frame["kind"].isin([line, ring]).any()
    ]
    return svg(
        dressed(alt.hconcat(*panels, spacing=40), "Inference memory against sequence length")
    )


def _against_length(
    frame: pd.DataFrame, line: str, ring: str, title: str, names: Sequence[str]
) -> alt.LayerChart:
    lengths = sorted(set(frame["sequence_length"]))
    shown = frame[frame["kind"].isin([line, ring])]
    base = alt.Chart(shown).encode(
        x=alt.X(
            "sequence_length:Q",
            title="sequence length (pieces)",
            scale=alt.Scale(type="log", base=2, nice=False, padding=12),
            axis=alt.Axis(values=lengths, grid=False, format="d", labelOverlap=True),
        ),
        y=alt.Y(
            "mib:Q",
            title="memory (MiB)",
            scale=alt.Scale(type="log", base=2),
            axis=alt.Axis(format=THOUSANDS),
        ),
        color=_colour("series", names, names),
        detail="batch_size:N",
    )
    lines, rings = (base.transform_filter(alt.datum.kind == kind) for kind in (line, ring))
    layers = [
        lines.mark_line(strokeWidth=1.8),
        lines.mark_circle(size=26, opacity=1),
        rings.mark_point(size=110, strokeWidth=1.6, opacity=1),
    ]
    return alt.LayerChart(layer=layers).properties(width=330, height=300, title=title)


def composition_figure(frame: pd.DataFrame) -> str:
    """What the peak of every row is made of: as shares of that peak, and in MiB.

    Args:
        frame: `memory_frames`' composition.
    """
    known = [use for use in USES if use in set(frame["kind"])]
    uses = [*known, *(use for use in _distinct(frame["kind"]) if use not in USES)]
    totals = frame.groupby("row", sort=False)["mib"].transform("sum")
    parts = frame.assign(
        bar=_bars(frame),
        total=totals,
        share=100 * frame["mib"] / totals,
        order=[uses.index(use) for use in frame["kind"]],
    )
    height = ROW_HEIGHT * parts["bar"].nunique()
    panels = [draw(parts, uses).properties(height=height) for draw in (_shares, _sizes)]
    title = "What the peak of a forward pass is made of"
    return svg(dressed(alt.hconcat(*panels, spacing=18), title))


def _stacked(parts: pd.DataFrame, uses: list[str]) -> alt.Chart:
    colour = alt.Color(
        "kind:N",
        title="used for",
        scale=alt.Scale(domain=uses, range=[USES.get(use, INK) for use in uses]),
        legend=alt.Legend(symbolType="square", symbolStrokeWidth=0),
    )
    bars = alt.Chart(parts).mark_bar(height=ROW_HEIGHT - 5)
    stacked: alt.Chart = bars.encode(color=colour, order="order:Q", y=_one_a_row(parts))
    return stacked


def _one_a_row(parts: pd.DataFrame) -> alt.Y:
    return alt.Y("bar:N", title=None, axis=None, scale=alt.Scale(domain=_distinct(parts["bar"])))


def _shares(parts: pd.DataFrame, uses: list[str]) -> alt.LayerChart:
    percent = alt.Scale(domain=[0, 100])
    bars = _stacked(parts, uses).encode(
        x=alt.X("share:Q", title="share of the peak (%)", scale=percent, axis=_thousands()),
        y=_one_a_row(parts).axis(_names_axis()),
    )
    return alt.LayerChart(layer=[bars]).properties(width=300)


def _sizes(parts: pd.DataFrame, uses: list[str]) -> alt.LayerChart:
    size = alt.X("mib:Q", title="in use at the peak (MiB)", axis=_thousands())
    sums = alt.Chart(parts.drop_duplicates("bar")).encode(
        x="total:Q", y=_one_a_row(parts), text=alt.Text("total:Q", format=",.0f")
    )
    text = sums.mark_text(align="left", dx=5, color=INK, fontSize=11)
    layers = [_stacked(parts, uses).encode(x=size), text]
    return alt.LayerChart(layer=layers).properties(width=260)


def _bars(frame: pd.DataFrame) -> list[str]:
    """The label of each row's bar; rows that would share one get their name as well."""
    labels = {
        row: f"{series} · {length}"
        for row, series, length in zip(
            frame["row"], frame["series"], frame["sequence_length"], strict=True
        )
    }
    shared = {label for label in labels.values() if list(labels.values()).count(label) > 1}
    full = {row: f"{label} ({row})" if label in shared else label for row, label in labels.items()}
    return [full[row] for row in frame["row"]]


def _thousands() -> alt.Axis:
    return alt.Axis(format=THOUSANDS, tickCount=TICKS)


def _names_axis() -> alt.Axis:
    return alt.Axis(ticks=False, domain=False, labelLimit=340, labelPadding=7)


def cards_figure(frame: pd.DataFrame, names: Sequence[str]) -> str:
    """The largest batch and the longest sequence for every card, by the memory that it has.

    Args:
        frame: `memory_frames`' cards.
        names: the models of all rows, so that each has the colour of the first figure.
    """
    room = frame["memory_mib"] - frame["context_mib"]
    cards = _distinct(frame.assign(room=room).sort_values("room", kind="stable")["card"])
    titles = {
        BATCH: f"largest batch{_at(frame, 'sequence_length', 'length')} (sequences)",
        LENGTH: f"longest sequence{_at(frame, 'batch_size', 'batch')} (pieces)",
    }
    panels = [
        _per_card(frame[frame["quantity"] == quantity], title, cards, names)
        for quantity, title in titles.items()
    ]
    limited = (frame["limited_by"] != "memory").any()
    mark = "; ○ all the positions that the model has" if limited else ""
    title = f"What fits a card (predicted{mark})"
    return svg(dressed(alt.hconcat(*panels, spacing=40), title))


def _at(frame: pd.DataFrame, column: str, name: str) -> str:
    """The shape that the models were searched at: the commonest, and which models differ."""
    shapes = dict(zip(frame["series"], frame[column], strict=True))
    common, _ = Counter(shapes.values()).most_common(1)[0]
    others = [f"{series}: {value:,}" for series, value in shapes.items() if value != common]
    return f" at {name} {common:,}" + (f" ({', '.join(others)})" if others else "")


def _per_card(
    frame: pd.DataFrame, title: str, cards: list[str], names: Sequence[str]
) -> alt.LayerChart:
    possible = frame[frame["largest"] > 0]  # the axis doubles from tick to tick, so it has no 0
    base = alt.Chart(possible).encode(
        x=alt.X(
            "largest:Q",
            title=title,
            scale=alt.Scale(type="log", base=2, padding=14),
            axis=alt.Axis(format=THOUSANDS, tickCount=7),
        ),
        y=alt.Y("card:N", scale=alt.Scale(domain=cards), title=None, axis=_names_axis()),
        color=_colour("series", names, _distinct(frame["series"])),
    )
    by_memory = alt.datum.limited_by == "memory"
    layers = [
        base.transform_filter(by_memory).mark_circle(size=85, opacity=1),
        base.transform_filter(~by_memory).mark_point(size=70, strokeWidth=2, opacity=1),
    ]
    return alt.LayerChart(layer=layers).properties(width=300, height=30 * len(cards))


def training_figure(frame: pd.DataFrame) -> str:
    """Training memory against depth, a panel per sequence length, one line per model.

    Args:
        frame: `memory_frames`' training.
    """
    names = _distinct(frame["curve"])
    layers = sorted(set(frame["layers"]))
    panels = []
    for length in sorted(set(frame["sequence_length"])):
        base = alt.Chart(frame[frame["sequence_length"] == length]).encode(
            x=alt.X(
                "layers:Q",
                title="layers",
                scale=alt.Scale(zero=False, nice=False, padding=12),
                axis=alt.Axis(values=layers, grid=False, format="d"),
            ),
            y=alt.Y(
                "predicted_allocated_mib:Q",
                title="in use at the peak (MiB)",
                scale=alt.Scale(nice=TICKS),
                axis=_thousands(),
            ),
            color=_colour("curve", names, names),
        )
        marks = [base.mark_line(strokeWidth=2), base.mark_circle(size=45, opacity=1)]
        chart = alt.LayerChart(layer=marks)
        panels.append(chart.properties(width=190, height=230, title=f"{length:,} pieces"))
    title = "Training memory against depth (predicted)"
    return svg(dressed(alt.hconcat(*panels, spacing=28), title))
