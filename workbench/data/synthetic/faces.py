"""`faces`: faces drawn by this project from the 40 attributes of CelebA, and the splits that are kept of them.

What an attribute stands for is in `faces_body`, `faces_features` and `faces_hair`, which attributes go together in
`faces_attributes`; everything else about a face is one of `faces_shapes.DRAWS`, independent of the attributes.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from workbench.data.images import SPLITS, Images, cached, check_split
from workbench.data.synthetic import canvas, faces_attributes, faces_body, faces_features, faces_hair, faces_shapes
from workbench.data.synthetic.canvas import as_bytes, in_chunks
from workbench.data.synthetic.faces_attributes import sample_attributes
from workbench.data.synthetic.faces_shapes import Scene, draw_styles

COUNTS = {"train": 10_000, "test": 1_000}
CHUNK = 128  # few enough for the caches of a processor, many enough for each call to be worth it
MANY = 2000  # faces from which on a progress bar is shown

# From back to front.
PARTS = (
    *(faces_body.choose_paints, faces_body.background, faces_body.clothes, faces_hair.back_hair, faces_body.neck),
    *(faces_body.necktie, faces_body.necklace, faces_body.head, faces_features.complexion, faces_features.cheekbones),
    *(faces_features.blush, faces_features.wrinkles, faces_features.under_eyes, faces_features.nose),
    *(faces_hair.beards, faces_features.mouth, faces_features.eyes, faces_hair.front_hair, faces_features.brows),
    *(faces_features.glasses, faces_hair.hat, faces_body.earrings, faces_body.lighting, faces_body.blurred),
)


def load_faces(split: str, seed: int = 0) -> Images:
    """Load drawn faces uint8 [N, 3, 64, 64] and their attributes Bool [N, 40]: 10,000 for "train", 1,000 for "test".

    Face i is `draw` of row i of `styles_of(split, seed)`. Splits and seeds have streams of their own. Drawn once and
    cached under a name that carries a hash of the recipe. ValueError for an unknown split.
    """
    check_split(split)
    return cached(f"faces-{split}-{seed}-{recipe_version()}", lambda: _make(split, seed))


def _make(split: str, seed: int) -> Images:
    labels = sample_attributes(COUNTS[split], _stream("attributes", split, seed))
    return Images(draw(labels, styles_of(split, seed)), labels)


def styles_of(split: str, seed: int = 0) -> Float[Tensor, "N draws"]:
    """Return what the attributes of the faces of `load_faces` leave open, to draw one of them with other attributes."""
    check_split(split)
    return draw_styles(COUNTS[split], _stream("styles", split, seed))


def _stream(what: str, split: str, seed: int) -> int:
    """A seed of its own for each purpose, split and seed."""
    numbers = (seed, SPLITS.index(split), ("attributes", "styles").index(what))
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def recipe_version() -> str:
    """Return a short hash of the code that draws."""
    modules = (faces_attributes, faces_body, faces_features, faces_hair, faces_shapes)
    return canvas.recipe_version(__file__, *(module.__file__ for module in modules), str(faces_attributes.FILE))


def render(attributes: Bool[Tensor, "N 40"], seed: int = 0) -> UInt8[Tensor, "N 3 64 64"]:
    """Draw a face for each row of attributes, in the order of `ATTRIBUTES`.

    Everything else about face i depends on the seed and i alone: with one attribute changed, the rest is kept.
    """
    return draw(attributes, draw_styles(len(attributes), seed))


def draw(attributes: Bool[Tensor, "N 40"], styles: Float[Tensor, "M draws"]) -> UInt8[Tensor, "N 3 64 64"]:
    """Draw a face for each row of attributes and of `draw_styles`; ValueError for more of one than of the other."""
    if len(attributes) != len(styles):
        raise ValueError(f"{len(attributes)} faces need as many styles, not {len(styles)}")
    attributes, styles = attributes.cpu(), styles.cpu()

    def painted(i: int, rows: Int[Tensor, "n"]) -> UInt8[Tensor, "n 3 64 64"]:
        scene = Scene.of(attributes[rows], styles[rows])
        for paint in PARTS:
            paint(scene)
        return as_bytes(scene.image)

    title = "drawing faces" if len(attributes) > MANY else ""
    return in_chunks(painted, torch.arange(len(attributes)).split(CHUNK), title)
