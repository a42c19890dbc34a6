"""The last state of a notebook's widgets as plain HTML: what a page shows where a live notebook has controls."""

from collections.abc import Mapping
from html import escape
from typing import Any


def static_widget(model_id: str, states: Mapping[str, Any]) -> str:
    """HTML of one widget and its children, drawn from saved widget state; '' when there is nothing to show.

    Boxes, texts, progress bars, images and controls with a description and a value are drawn; other widgets (layouts,
    styles) are not visible by themselves.
    """
    if model_id not in states:
        return ""
    model, state = states[model_id]["model_name"], states[model_id]["state"]
    if "children" in state:
        inner = "".join(static_widget(child.removeprefix("IPY_MODEL_"), states) for child in state["children"])
        return f'<div class="widget {"column" if model == "VBoxModel" else "row"}">{inner}</div>' if inner else ""
    if model == "ImageModel":
        return _image(states[model_id])
    if model in ("FloatProgressModel", "IntProgressModel"):
        return f'<progress value="{state.get("value", 0)}" max="{state.get("max", 100)}"></progress>'
    if model in ("HTMLModel", "HTMLMathModel"):
        return f"<span>{state.get('value', '')}</span>"
    return _control(state)


def _image(saved: Mapping[str, Any]) -> str:
    """The picture of an Image widget, whose bytes are saved beside its state in base64."""
    kind = saved["state"].get("format", "png")
    data = [b["data"] for b in saved.get("buffers", []) if b["path"] == ["value"] and b["encoding"] == "base64"]
    return f'<img alt="" src="data:image/{kind};base64,{data[0]}">' if data else ""


def _control(state: Mapping[str, Any]) -> str:
    """A slider, text or choice as 'description: value'."""
    value = state.get("value")
    if value is None and state.get("_options_labels") and state.get("index") is not None:
        index, labels = state["index"], state["_options_labels"]
        value = labels[index] if isinstance(index, int) else ", ".join(labels[i] for i in index)
    if value is None:
        return ""
    description = state.get("description", "")
    return f'<span class="control">{escape(f"{description}: {value}" if description else str(value))}</span>'
