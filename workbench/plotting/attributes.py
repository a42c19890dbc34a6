"""Pictures of attributes: how well each one is read off codes and off generated samples, method by method."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.plotting.base import panel

HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")  # methods must not be told apart by colours alone
PROBES, GENERATED = "linear_probe", "coherence"
WHERE = {"I": "image (I)", "T": "text (T)", "I,T": "joint (I,T)"}
WHERE |= {"T → I": "image from text (T → I)", "I → T": "text from image (I → T)"}


def attribute_rows(metrics: Mapping[str, Any], section: str) -> dict[str, list[float]]:
    """Average precisions by panel, of one section of metrics of attributes; NaN where an attribute has none.

    Panels are subsets (of a probe), or paths such as "I → T" (of generated samples, never from themselves), at the
    paper's posterior. ValueError where metrics lack the section.
    """
    tables = (metrics.get("by_attribute") or {}).get(section)
    if not tables:
        raise ValueError(
            f"no {section.replace('_', ' ')} of single attributes in these metrics: evaluate a run on faces or celeba, "
            "with the part 'probe' or 'coherence'"
        )
    found = next(iter(tables.values()))
    if section == GENERATED:
        found = {f"{given} → {target}": row for target, rows in found.items() for given, row in rows.items()
                 if target not in given.split(",")}  # fmt: skip
    return {name: [np.nan if x is None else float(x) for x in row] for name, row in found.items()}


def plot_attribute_bars(
    metrics_by_label: Mapping[str, Mapping[str, Any]], section: str = PROBES, order: Sequence[str] | None = None
) -> Figure:
    """Average precision of each attribute as in Figures 8 and 9: a panel for each subset or path, a bar a method.

    `metrics_by_label[method]` is what metrics.json holds; base rates, black ticks, are those of the first. Attributes
    stand in the order of their base rates, the most frequent first, or as `order` names them, which may be some only.
    ValueError without metrics, for an unknown attribute, or where metrics lack the section.
    """
    if not metrics_by_label:
        raise ValueError("no metrics to show: give those of one method at least")
    rows = {label: attribute_rows(metrics, section) for label, metrics in metrics_by_label.items()}
    base = np.array(next(iter(metrics_by_label.values()))["base_rate"])
    places = _places(base, order)
    names = [name for name in next(iter(rows.values())) if all(name in found for found in rows.values())]
    figure, axes = panel(1, len(names), 3.3, 1.0 + 0.12 * len(rows) + len(places) * (0.11 + 0.085 * len(rows)))
    words = [ATTRIBUTES[k].replace("_", " ") for k in places]
    for name, ax in zip(names, axes[0], strict=True):
        _bars(ax, {label: np.array(found[name])[places] for label, found in rows.items()}, base[places])
        ax.set_title(WHERE.get(name, name), fontsize=10)
        ax.set_yticks(range(len(places)), words if ax is axes[0, 0] else [], fontsize=9)
    legend = axes[0, 0].get_legend_handles_labels()
    figure.legend(*legend, fontsize=9, frameon=False, loc="outside upper left", ncols=4)
    return figure


def _places(base: np.ndarray, order: Sequence[str] | None) -> list[int]:
    if order is None:
        return np.argsort(-base, kind="stable").tolist()
    if unknown := [name for name in order if name not in ATTRIBUTES]:
        raise ValueError(f"unknown attribute {unknown[0]!r}: choose some of {', '.join(ATTRIBUTES)}")
    return [ATTRIBUTES.index(name) for name in order]


def _bars(ax: Axes, rows: Mapping[str, np.ndarray], base: np.ndarray) -> None:
    """Groups of horizontal bars, the first at the top, the mean of each method in words below."""
    place, height = np.arange(len(base)), 0.84 / len(rows)
    for i, ((label, row), colour) in enumerate(zip(rows.items(), sns.color_palette("colorblind"), strict=False)):
        look = {"color": colour, "edgecolor": "white", "linewidth": 0.3, "hatch": HATCHES[i % len(HATCHES)]}
        ax.barh(place + (i - (len(rows) - 1) / 2) * height, np.nan_to_num(row), height, label=label, **look)
    look = {"linestyle": "none", "marker": "|", "markersize": 2.2 + 7 * len(rows) ** 0.5}
    for width, colour, name in ((3.2, "white", None), (1.6, "black", "base rate")):  # seen on bars of any colour
        ax.plot(base, place, markeredgewidth=width, color=colour, label=name, **look)
    means = "\n".join(f"mean of {label}: {np.nanmean(row):.2f}" for label, row in rows.items())
    ax.set_xlabel(f"average precision\n{means}", fontsize=9)
    ax.set(xlim=(0, 1), ylim=(len(base) - 0.4, -0.6))
    ax.tick_params(axis="x", labelsize=9)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="0.88", linewidth=0.6)
    ax.set_axisbelow(True)
    sns.despine(ax=ax)
