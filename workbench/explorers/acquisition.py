"""What to measure next of one item: modalities as switches, the gain expected of each, and what is then believed.

What is asked comes from `workbench.studies.acquisition.Acquisition`: any object with the same few methods will do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import ipywidgets as widgets
import numpy as np
import seaborn as sns
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from workbench.data.dataset import MultimodalDataset
from workbench.explorers import controls, pictures
from workbench.explorers.controls import Counter
from workbench.explorers.divergences import to_png
from workbench.metrics.encode import encode_rows
from workbench.model import MultimodalVAE, Posteriors
from workbench.plotting.base import dress, panel

CLOUD, DRAWS = 500, 150  # items behind the posterior, and draws of it
BEFORE, NOW = {"color": sns.color_palette("colorblind")[1]}, {"color": sns.color_palette("colorblind")[0]}
ABOUT = {"label": "the class", "content": "the content", "rest": "what else is missing"}


@runtime_checkable
class Asked(Protocol):
    """What knows the expected gains: see `workbench.studies.acquisition.Acquisition`."""

    model: MultimodalVAE
    classifier: Any
    costs: Any
    about: str

    def expected_gain(self, items: Any, generator: torch.Generator | None = None) -> Any:
        """Gains of every modality that items lack."""

    def chances(self, q: Posteriors) -> Float[Tensor, "n classes"]:
        """Probabilities of the classes."""

    def contents(self, q: Posteriors, draws: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws of the content, `[draws, n, content]`."""


@dataclass(frozen=True, eq=False)
class Shown:
    """An item with all that was measured of it, and the plane on which contents are drawn."""

    asked: Asked
    data: MultimodalDataset
    q: Posteriors  # of one item
    label: int
    cloud: Float[Tensor, "n 2"]
    axes: Float[Tensor, "content 2"]

    def given(self, names: Sequence[str]) -> Posteriors:
        """The same item when only these are known."""
        there = torch.tensor([[name in names] for name in self.asked.model.names])
        return replace(self.q, present=self.q.present & there)

    @property
    def measured(self) -> Bool[Tensor, "M"]:
        """Which modalities there are of the item."""
        return self.q.present[:, 0]


@torch.no_grad()
def shown_item(asked: Asked, data: MultimodalDataset, row: int = 0, plane: Shown | None = None) -> Shown:
    """Make item number `row` ready, on the plane of the two first principal components of many items' contents."""
    generator, rows = torch.Generator().manual_seed(0), data.first_repeat()
    if plane is None:
        parts = [asked.contents(q, 1, generator)[0] for q, _ in encode_rows(asked.model, data, rows[:CLOUD], generator)]
        contents = torch.cat(parts)
        axes = torch.linalg.svd(contents - contents.mean(0), full_matrices=False).Vh[:2].T
        axes = torch.nn.functional.pad(axes, (0, 2 - axes.shape[1]))  # a content of one dimension has one
        cloud = contents @ axes
    else:
        axes, cloud = plane.axes, plane.cloud
    ((q, labels),) = encode_rows(asked.model, data, rows[[row % len(rows)]], generator)
    return Shown(asked, data, q, int(labels[0]), cloud, axes)


def expected(shown: Shown, names: Sequence[str], seed: int = 0) -> Any:
    """Return the gains that are expected when these modalities are known; ValueError when none is."""
    if not names:
        raise ValueError("nothing is known of this item, so that nothing tells it from others: switch one modality on")
    return shown.asked.expected_gain(shown.given(names), torch.Generator().manual_seed(seed))


def advice(shown: Shown, gains: Any) -> str:
    """Say what to measure next, and what else there is."""
    worth = {m: gains.per_cost[0, m] for m in np.flatnonzero(~np.isnan(gains.bits[0]))}
    said = [
        f"{gains.names[m]} {gains.bits[0, m]:.2f} ± {2 * gains.errors[0, m]:.2f} bits"
        + (f" for {gains.costs[m]:g}" if shown.asked.costs else "")
        for m in sorted(worth, key=worth.get, reverse=True)
    ]
    if not said:
        return "All is known: there is nothing left to measure."
    return (
        f"Measure next: {said[0]} expected about {ABOUT[shown.asked.about]}. Else: {', '.join(said[1:]) or 'nothing'}."
    )


@torch.no_grad()
def draw_acquisition(shown: Shown, names: Sequence[str], before: Sequence[str] = (), gains: Any = None) -> Figure:
    """Draw expected gains of what is not among `names`, and what is believed: now, and when `before` were known.

    `gains` are those of `expected`, worked out where None are given; bars have two standard errors. ValueError when
    nothing is known.
    """
    gains = gains or expected(shown, names)
    beliefs = {"before": (before, BEFORE), "now": (names, NOW)} if before else {"now": (names, NOW)}
    told = shown.asked.classifier is not None
    figure, axes = panel(1, 3 if told else 2, 3.1, 3.0)
    _draw_gains(axes[0, 0], shown, gains)
    if told:
        _draw_chances(axes[0, 1], shown, beliefs)
    _draw_plane(axes[0, -1], shown, beliefs)
    return figure


def _draw_gains(ax: Axes, shown: Shown, gains: Any) -> None:
    per, place = 1 / gains.costs, np.arange(len(gains.names))
    bits, errors = gains.bits[0] * per, 2 * gains.errors[0] * per
    ax.barh(place, np.nan_to_num(bits), color=NOW["color"], alpha=0.75, height=0.6)
    ax.errorbar(bits, place, xerr=np.nan_to_num(errors), fmt="none", ecolor="black", capsize=3)
    ax.axvline(0, color="0.4", linewidth=0.8)
    ax.set_xlim(min(0, np.nanmin([0, *(bits - errors)])), 1.08 * np.nanmax([0.05, *(bits + errors)]))
    for m in place[np.isnan(bits)]:
        ax.text(0, m, " known", va="center", fontsize=9, color="0.35")
    ax.set_yticks(place, gains.names)
    ax.invert_yaxis()
    dress(
        ax,
        f"bits{' per cost' if shown.asked.costs else ''}, ± 2 errors",
        title=f"expected about {ABOUT[shown.asked.about]}",
    )


def _draw_chances(ax: Axes, shown: Shown, beliefs: dict) -> None:
    classes = [str(x) for x in shown.data.classes or range(len(shown.asked.chances(shown.q)[0]))]
    place, height = np.arange(len(classes)), 0.8 / len(beliefs)
    for k, (when, (names, look)) in enumerate(beliefs.items()):
        p = shown.asked.chances(shown.given(names))[0].numpy()
        ax.barh(place + (k - (len(beliefs) - 1) / 2) * height, p, height, label=when, **look)
    ax.set_yticks(place, [f"{name} (true)" if k == shown.label else name for k, name in enumerate(classes)])
    ax.set_xlim(0, 1)
    ax.invert_yaxis()
    ax.legend(fontsize=9, frameon=False, loc="best")
    dress(ax, "probability", title="the class")


def _draw_plane(ax: Axes, shown: Shown, beliefs: dict) -> None:
    ax.plot(*shown.cloud.T, ".", color="0.8", markersize=3, zorder=0, label="other items")
    for marker, (when, (names, look)) in zip("x." if len(beliefs) > 1 else ".", beliefs.items(), strict=True):
        z = shown.asked.contents(shown.given(names), DRAWS, torch.Generator().manual_seed(0))[:, 0] @ shown.axes
        ax.plot(*z.T, marker, markersize=5, alpha=0.7, label=when, **look)
    ax.set(xticks=[], yticks=[])
    ax.legend(fontsize=9, frameon=True, loc="best", handletextpad=0.2)
    dress(ax, "two principal components", title="draws of the content")


def explore_acquisition(asked: Asked, data: MultimodalDataset) -> widgets.VBox:
    """Switch the modalities of an item on and off, one item after the other: what each is expected to tell, and tells.

    `asked` is an `acquisition.Acquisition`; the items are those of `data`. At first, the first modality is known.
    """
    first, names = shown_item(asked, data), asked.model.names
    switches = {
        name: widgets.ToggleButton(
            False, description=name, tooltip=f"{name} is known", layout=widgets.Layout(width="auto")
        )
        for name in names
    }
    following = Counter("next item", "another item, of which the same is known", "step-forward")
    picture, words = widgets.Image(format="png", layout=widgets.Layout(max_width="930px")), widgets.HTML()
    state: dict[str, Any] = {"shown": first, "names": [], "before": []}

    def redraw(*_: object) -> None:
        if (row := following.clicks) != state.get("row", 0):
            state.update(row=row, shown=shown_item(asked, data, row, first), names=[])
        for name, there in zip(names, state["shown"].measured.tolist(), strict=True):
            switches[name].disabled = not there
        known = [name for name in names if switches[name].value and not switches[name].disabled]
        if known != state["names"]:
            state.update(before=state["names"], names=known)
        try:
            gains = expected(state["shown"], known)
            lines = [advice(state["shown"], gains)]
            picture.value = to_png(draw_acquisition(state["shown"], known, state["before"], gains))
            lacks = [name for name in names if switches[name].disabled]
            words.value = pictures.page(
                pictures.note(*lines, *([f"Never measured: {', '.join(lacks)}."] if lacks else []))
            )
        except ValueError as error:
            words.value = pictures.page(pictures.message(str(error)))

    switches[names[int(first.measured.int().argmax())]].value = True
    controls.on_change([*switches.values(), following], redraw)
    redraw()
    box = controls.lay_out([*switches.values(), following], below=[words, picture])
    box.children[-1].picture = (
        "Bars of the gain expected of each unknown modality, of the classes' probabilities, and draws of the content, "
        "before and now; the line above has the gains in words."
    )
    return box
