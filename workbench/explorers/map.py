"""A scatter plot to be pointed at: a widget whose points are characters and that says which one is meant.

What it draws is in its traits, in the units of the data; map.js turns them into SVG. It knows nothing of models.
"""

from pathlib import Path

import anywidget
import traitlets

NONE = -1  # in place of a point's number


class Map(anywidget.AnyWidget):
    """Points with equal units on both axes, of which one is hovered over and two, A and B, are chosen.

    Mouse: hover, click for A, Shift-click for B. Keyboard: arrow keys go to the nearest point in that direction, Enter
    or A and Shift-Enter or B choose it. All points are numbered in the order of `points`, shown or not; the points
    chosen are always shown.
    """

    _esm = Path(__file__).with_name("map.js")

    title = traitlets.Unicode("Map").tag(sync=True)  # what screen readers call it
    # equally long lists: x, y, mark (a character or two), colour (#rrggbb), group (a number), text (in words)
    points = traitlets.Dict().tag(sync=True)
    shown = traitlets.List(traitlets.Int()).tag(sync=True)  # groups
    legend = traitlets.List().tag(sync=True)  # [mark, colour, text]
    axes = traitlets.List(traitlets.Unicode(), ["", ""]).tag(sync=True)  # names; empty ones have no ticks either
    bounds = traitlets.List(traitlets.Float(), [-1.0, 1.0, -1.0, 1.0]).tag(sync=True)  # left, right, bottom, top
    # dictionaries of x, y, a, b, angle (radians), colour, dash (as in SVG), width, text
    ellipses = traitlets.List().tag(sync=True)
    path = traitlets.List().tag(sync=True)  # [x, y] of stations on a line
    hovered = traitlets.Int(NONE).tag(sync=True)
    a = traitlets.Int(NONE).tag(sync=True)
    b = traitlets.Int(NONE).tag(sync=True)
