"""Names of sliders and of rows of buttons, for those who listen to a page instead of looking at it."""

from pathlib import Path
from typing import TypeVar

import anywidget
import ipywidgets as widgets
import traitlets

Box = TypeVar("Box", bound=widgets.Box)


class Names(anywidget.AnyWidget):
    """Shows nothing; names the sliders and rows of buttons of the explorer that it stands in."""

    _esm = Path(__file__).parent / "names.js"
    picture = traitlets.Unicode("").tag(sync=True)


def named(box: Box, picture: str = "") -> Box:
    """An explorer whose controls all have accessible names: its box with `Names` at the end.

    `picture` is the alternative text of its Image widget, if it has one, for which ipywidgets has no place.
    """
    box.add_class("workbench-explorer")
    box.children = (*box.children, Names(picture=picture))
    return box
