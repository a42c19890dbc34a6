"""What all that is drawn has in common: the same pixels on any number of threads, own chance, caches by recipe."""

from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch

from workbench.data.synthetic import canvas, faces, polydigits_images, street
from workbench.data.synthetic.faces_attributes import sample_attributes
from workbench.data.synthetic.polydigits import STYLES

PACKAGE = "workbench.data.synthetic"
# By source: the renderer, and how it draws pictures of each of these digits.
DRAW = {
    **{source: (street, lambda digits, source=source: street.render(source, digits, 3)) for source in street.SOURCES},
    **{style: (polydigits_images, partial(polydigits_images.render, style)) for style in STYLES},
    "faces": (faces, lambda digits: faces.render(sample_attributes(len(digits), 4), 3)),
}
RECIPES = {
    street: "glyphs canvas",
    polydigits_images: "polydigits_paints glyphs handwriting canvas",
    faces: "faces_attributes faces_attributes:FILE faces_body faces_features faces_hair faces_shapes canvas",
}


@pytest.mark.parametrize("source", DRAW)
def test_the_same_pictures_on_any_number_of_threads_and_by_no_chance_of_torchs(source, monkeypatch):
    before, state, made, (renderer, draw) = torch.get_num_threads(), torch.get_rng_state(), [], DRAW[source]
    monkeypatch.setattr(renderer, "CHUNK", 16)
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            made.append(draw(torch.arange(40) % 10))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(pictures, made[0]) for pictures in made[1:])
    assert torch.equal(torch.get_rng_state(), state)
    assert made[0].dtype == torch.uint8 and made[0].shape[1] == 3
    assert len(made[0].flatten(1).unique(dim=0)) == len(made[0]) == 40  # none alike


@pytest.mark.parametrize(
    ("renderer", "part"), [(one, part) for one, parts in RECIPES.items() for part in parts.split()]
)
def test_other_recipe_other_cache(tmp_path, monkeypatch, renderer, part):
    name, _, file = part.partition(":")
    before, copy, module = renderer.recipe_version(), tmp_path / "changed", import_module(f"{PACKAGE}.{name}")
    copy.write_text(Path(getattr(module, file or "__file__")).read_text() + "# changed\n")
    monkeypatch.setattr(module, file or "__file__", str(copy))
    assert renderer.recipe_version() != before


def test_a_blur_is_a_mean_and_a_wider_one_blurs_more():
    narrow, wide = canvas.blur(torch.tensor([0.5, 2.0]).view(2, 1, 1), 16)
    torch.testing.assert_close(torch.stack([narrow.sum(1), wide.sum(1)]), torch.ones(2, 16))
    assert (narrow.diagonal() > wide.diagonal()).all() and torch.equal(wide.argmax(1), torch.arange(16))
