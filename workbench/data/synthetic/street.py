"""House-number crops rendered by the project itself: `rendered`, a stand-in for SVHN, and `plain`, its easy sister.

A crop is a scene: digits of one face on a ground, seen through a camera. Every step works on a whole chunk of crops;
chunks are independent, each with its own random stream, and computed on one thread each.
"""

import math

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from workbench.data.images import Images, cached, check_split
from workbench.data.synthetic import canvas, glyphs
from workbench.data.synthetic.canvas import Chance, as_bytes, blotches, blur, in_chunks, ink, pixels

SOURCES = ("rendered", "plain")
SIDE = 32
CHUNK = 256
# SVHN's training counts, capped at MNIST's size of a class: pairing with MNIST then gives the paper's 56,068 pairs.
SVHN_COUNTS = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)
TRAIN_COUNTS = tuple(min(count, 7000) for count in SVHN_COUNTS)
TEST_COUNTS = (1140,) * 10
NEIGHBOURS = (0.4, 0.35, 0.25)  # how often 0, 1, 2 digits stand on a side of the labelled one
SLOTS = 5  # digits of a house number: the labelled one in the middle


def load_rendered(source: str, split: str, seed: int = 0) -> Images:
    """Load crops of one split in a random order, rendered once and cached.

    train: `TRAIN_COUNTS` per digit, test: `TEST_COUNTS`, from different random streams. ValueError for an unknown
    source or split. The cache's name carries a hash of the recipe: changed code never meets old crops.
    """
    _check_source(source)
    check_split(split)

    def make() -> Images:
        stream = 2 * seed + (split == "test")
        ordered = torch.repeat_interleave(torch.tensor(TRAIN_COUNTS if split == "train" else TEST_COUNTS))
        labels = ordered[torch.randperm(len(ordered), generator=torch.Generator().manual_seed(stream))]
        return Images(render(source, labels, stream), labels)

    return cached(f"{source}-{split}-{seed}-{recipe_version()}", make)


def recipe_version() -> str:
    """Return a short hash of the code that renders."""
    return canvas.recipe_version(__file__, glyphs.__file__)


def render(source: str, labels: Int[Tensor, "N"], seed: int) -> UInt8[Tensor, "N 3 32 32"]:
    """Draw one crop per label, from `source` ('rendered' or 'plain'); the same for the same labels and seed (>= 0).

    ValueError for an unknown source, labels outside 0..9 and a negative seed.
    """
    _check_source(source)
    if len(labels) == 0:
        return torch.zeros(0, 3, SIDE, SIDE, dtype=torch.uint8)
    if not 0 <= int(labels.min()) <= int(labels.max()) <= 9:
        raise ValueError("labels must be digits from 0 to 9")
    if seed < 0:
        raise ValueError(f"the seed must not be negative, but is {seed}")
    paint = _street_crops if source == "rendered" else _plain_crops
    glyphs.atlas()  # made here, not by several threads at once
    stream = seed, SOURCES.index(source)
    return in_chunks(lambda i, part: paint(part, Chance(*stream, i)), labels.cpu().long().split(CHUNK))


def _check_source(source: str) -> None:
    if source not in SOURCES:
        raise ValueError(f"unknown rendered source {source!r}: choose 'rendered' or 'plain'")


def _image(values: Tensor) -> Tensor:
    """[N] or [N, 3] -> broadcastable to [N, C, H, W]."""
    return values.view(*values.shape, *(1,) * (4 - values.ndim))


def _colour(lightness: Tensor, hue: Tensor, saturation: Tensor) -> Float[Tensor, "N 3 1 1"]:
    """Colour of the given lightness; hue in turns, 0 red, 1/3 green, 2/3 blue."""
    turns = hue[:, None] - torch.arange(3) / 3
    return _image(lightness[:, None] + saturation[:, None] * torch.cos(2 * math.pi * turns))


def _plain_crops(labels: Int[Tensor, "N"], chance: Chance) -> UInt8[Tensor, "N 3 32 32"]:
    n = len(labels)
    face = chance.choice(glyphs.atlas().plain, n)
    x, y = pixels(SIDE)
    height = chance.uniform(20, 26, n, 1, 1)
    x, y = (x - chance.uniform(-1.5, 1.5, n, 1, 1)) / height, (y - chance.uniform(-1.5, 1.5, n, 1, 1)) / height
    tilt = chance.uniform(-0.1, 0.1, n, 1, 1)
    x, y = x + tilt * y, y - tilt * x
    field = glyphs.look_up(face, labels, x, y)[:, None] + 0.01
    cover = ink(field * _image(height.flatten()) * 0.8)
    ground = _colour(chance.uniform(0.1, 0.3, n), chance.uniform(0, 1, n), chance.uniform(0, 0.08, n))
    digit = _colour(chance.uniform(0.75, 0.95, n), chance.uniform(0, 1, n), chance.uniform(0, 0.05, n))
    return as_bytes(torch.lerp(ground, digit, cover).add_(chance.normal(0.01, n, 1, SIDE, SIDE)))


def _street_crops(labels: Int[Tensor, "N"], chance: Chance) -> UInt8[Tensor, "N 3 32 32"]:
    n = len(labels)
    height = chance.around(14, 31, n)
    x, y = _seen(height, chance)
    field, plate = _number(labels, x, y, chance)
    height = _image(height)
    field, plate = field[:, None] * height, plate[:, None] * height  # in pixels from here on
    ground, digit = _paints(chance, n)
    scene = _wall(ground, plate, digit, chance)
    scene = _relief(scene, field, height, chance)
    softness = _image(chance.uniform(0.5, 1.3, n))
    cover = ink(field, softness) * _image(chance.uniform(0.75, 1, n))
    scene = torch.lerp(scene, digit + _gradient(chance, n, 0.15), cover)
    return as_bytes(_camera(_light(scene, chance), chance))


def _seen(height: Float[Tensor, "N"], chance: Chance) -> tuple[Tensor, Tensor]:
    """Coordinates on the wall of every pixel, in digit heights from the middle digit's centre, [N, 32, 32] each."""
    n = len(height)
    x, y = pixels(SIDE)
    depth = 1 + chance.normal(0.004, n, 1, 1) * x + chance.normal(0.003, n, 1, 1) * y
    x, y = (x + chance.normal(1.0, n, 1, 1)) / depth, (y + chance.normal(1.0, n, 1, 1)) / depth
    x, y = x / height[:, None, None], y / height[:, None, None]
    angle, shear = chance.normal(0.07, n, 1, 1), chance.normal(0.1, n, 1, 1)
    x, y = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    x = (x + shear * y) / chance.around(0.55, 1.3, n, 1, 1)
    swing = 2 * math.pi * chance.uniform(0.3, 0.9, 4, n, 1, 1)
    phase, size = chance.uniform(0, 2 * math.pi, 4, n, 1, 1), chance.normal(0.015, 4, n, 1, 1)
    warp_x = size[0] * torch.sin(swing[0] * y + phase[0]) + size[1] * torch.sin(swing[1] * x + phase[1])
    warp_y = size[2] * torch.sin(swing[2] * x + phase[2]) + size[3] * torch.sin(swing[3] * y + phase[3])
    return x + warp_x, y + warp_y


def _number(labels: Int[Tensor, "N"], x: Tensor, y: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """Signed distances, in digit heights, to the digits of a number round the labels and to the plate they are on."""
    n, middle = len(labels), SLOTS // 2
    digit = chance.integers(10, n, SLOTS)
    digit[:, middle] = labels
    face = chance.choice(glyphs.atlas().street, n)[:, None].expand(n, SLOTS)
    width = glyphs.atlas().width[face, digit]
    step = (width[:, 1:] + width[:, :-1]) / 2 + chance.uniform(0.02, 0.3, n, 1) + chance.normal(0.02, n, SLOTS - 1)
    centre = torch.cat((torch.zeros(n, 1), step.cumsum(1)), 1)
    centre = centre - centre[:, middle, None]
    left, right = (chance.choice(torch.tensor(NEIGHBOURS), n)[:, None] for _ in range(2))
    slot = torch.arange(SLOTS) - middle
    shown = (slot >= -left) & (slot <= right)
    lift = chance.normal(0.02, n, SLOTS) * (slot != 0)
    weight = glyphs.atlas().half_stroke[face, digit] * chance.around(-0.35, 0.5, n, 1)
    weight = weight + chance.around(-0.01, 0.03, n, 1)
    fields = torch.full((n, SLOTS, SIDE, SIDE), -1.0)
    item, place = shown.nonzero(as_tuple=True)  # only the digits that are there are looked up
    inside = x[item] - centre[shown][:, None, None], y[item] - lift[shown][:, None, None]
    distance = glyphs.look_up(face[shown], digit[shown], *inside)
    fields[item, place] = distance + weight[shown][:, None, None]
    return fields.amax(1), _plate(centre, width, shown, x, y, chance)


def _plate(centre: Tensor, width: Tensor, shown: Tensor, x: Tensor, y: Tensor, chance: Chance) -> Tensor:
    """Signed distances to a rectangle round the digits that are there; often so large that its edge is out of sight."""
    n = len(centre)
    out = torch.where(chance.coin(0.45, n) > 0, 0.0, 9.0)
    pad = (chance.uniform(0.06, 0.6, 4, n) + out)[..., None, None]
    start = torch.where(shown, centre - width / 2, math.inf).amin(1)[:, None, None] - pad[0]
    end = torch.where(shown, centre + width / 2, -math.inf).amax(1)[:, None, None] + pad[1]
    across = torch.minimum(x - start, end - x)
    return torch.minimum(across, torch.minimum(y + 0.5 + pad[2], 0.5 + pad[3] - y))


def _paints(chance: Chance, n: int) -> tuple[Tensor, Tensor]:
    """Colours of ground and digits: mostly dull, low contrast common, either the lighter."""
    light = chance.uniform(0.06, 0.95, n)
    contrast = 0.14 + 0.65 * chance.uniform(0, 1, n) ** 1.4
    up = torch.where(chance.uniform(0, 1, n) < 1 - light, 1.0, -1.0)
    other = light + up * contrast
    other = torch.where((other < 0) | (other > 1), light - up * contrast, other).clamp(0.02, 0.98)
    # A warm stone and a cold shade are commoner than any other hue.
    hue = torch.where(chance.coin(0.5, n) > 0, 0.6 + chance.normal(0.04, n), 0.08 + chance.normal(0.08, n))
    hue = torch.where(chance.coin(0.15, n) > 0, chance.uniform(0, 1, n), hue)
    saturation = chance.uniform(0, 1, n) ** 2 * 0.1 + chance.coin(0.12, n) * chance.uniform(0.05, 0.25, n)
    own_hue, own = chance.uniform(0, 1, n), chance.coin(0.25, n)
    ink_saturation = torch.lerp(saturation * chance.uniform(0, 1, n), chance.uniform(0, 1, n) ** 2 * 0.2, own)
    return _colour(light, hue, saturation), _colour(other, torch.lerp(hue, own_hue, own), ink_saturation)


def _wall(ground: Tensor, plate: Tensor, digit: Tensor, chance: Chance) -> Float[Tensor, "N 3 32 32"]:
    """The plate, perhaps with a border in the digits' colour, on another ground, with stains and ledges."""
    n = len(ground)
    around = _colour(chance.uniform(0.03, 0.95, n), chance.uniform(0, 1, n), chance.uniform(0, 1, n) ** 2 * 0.12)
    scene = torch.lerp(around, ground, ink(plate))
    thick, inset = _image(chance.uniform(0.4, 1.5, n)), _image(chance.uniform(0.0, 2.0, n))
    border = ink(thick - (plate - inset - thick).abs()) * _image(chance.coin(0.3, n))
    scene = torch.lerp(scene, digit, border)
    stains = blotches(chance, n, 4, SIDE) * 0.6 + blotches(chance, n, 9, SIDE) * 0.4
    ledge = _line(chance, n) * _image(chance.coin(0.35, n)) * _image(chance.normal(0.12, n))
    return scene + stains * _image(chance.uniform(0, 1, n) ** 2 * 0.12) + ledge


def _line(chance: Chance, n: int) -> Float[Tensor, "N 1 32 32"]:
    """A dark or light band, edge or line anywhere in the crop, in 0..1."""
    x, y = pixels(SIDE)
    angle = _image(chance.choice(torch.tensor([0.4, 0.4, 0.2]), n) * (math.pi / 2) + chance.normal(0.15, n))
    across = x * angle.cos() + y * angle.sin() - _image(chance.uniform(-18, 18, n))
    across = across / _image(chance.uniform(0.7, 3, n))
    thickness = _image(chance.uniform(0.5, 6, n) + 40 * chance.coin(0.3, n))
    return ink(across) * ink(thickness - across)


def _gradient(chance: Chance, n: int, scale: int | float) -> Float[Tensor, "N 1 32 32"]:
    """A linear slope of brightness, `scale` its spread from the centre to an edge."""
    x, y = pixels(SIDE)
    return (_image(chance.normal(scale, n)) * x + _image(chance.normal(scale, n)) * y) / (SIDE / 2)


def _relief(scene: Tensor, field: Tensor, height: Tensor, chance: Chance) -> Tensor:
    """Shadow of the digits on the wall, or an outline round them, or neither."""
    n = len(scene)
    kind = chance.uniform(0, 1, n)
    shift = chance.normal(0.06, n, 2).clamp(-0.12, 0.12) * height.view(n, 1) * 2 / SIDE
    place = torch.eye(2, 3).repeat(n, 1, 1)
    place[..., 2] = shift
    moved = F.grid_sample(field, F.affine_grid(place, [n, 1, SIDE, SIDE], align_corners=False), align_corners=False)
    shadow = ink(moved, _image(chance.uniform(0.8, 3.5, n))) * _image(chance.uniform(0.2, 0.8, n))
    dark = _image(torch.where(chance.coin(0.8, n) > 0, 0.05, 0.9))
    scene = torch.lerp(scene, dark.expand_as(scene), shadow * _image((kind < 0.3).float()))
    rim = _colour(chance.uniform(0, 1, n), chance.uniform(0, 1, n), chance.uniform(0, 0.1, n))
    outline = ink(field + _image(chance.uniform(0.5, 1.6, n))) * _image((kind > 0.88).float())
    return torch.lerp(scene, rim.expand_as(scene), outline * _image(chance.uniform(0.3, 1, n)))


def _light(scene: Tensor, chance: Chance) -> Tensor:
    """Light falling unevenly: a slope, a soft spot, the edge of a cast shadow."""
    n = len(scene)
    light = 1 + _gradient(chance, n, 0.1) + 0.08 * blotches(chance, n, 3, SIDE)
    cast = _line(chance, n) * _image(chance.coin(0.15, n) * chance.uniform(0.1, 0.45, n))
    return scene * light * (1 - cast)


def _camera(scene: Tensor, chance: Chance) -> Float[Tensor, "N 3 32 32"]:
    """Grain, blur of a small picture blown up, over-sharpening, JPEG, white balance and exposure."""
    n = len(scene)
    scene = scene + chance.normal(1.0, n, 1, SIDE, SIDE) * _image(chance.uniform(0, 1, n) ** 2 * 0.06)
    coarse = 0.45 + 1.35 * chance.uniform(0, 1, n) ** 1.3
    sharp = chance.coin(0.4, n) * chance.uniform(0, 0.8, n)
    down, across = (_lens(coarse * chance.uniform(0.8, 1.25, n), sharp) for _ in range(2))
    scene = down[:, None] @ scene @ across[:, None].mT
    scene = _jpeg(scene, chance)
    gain = 1 + chance.normal(0.03, n, 3, 1, 1) + chance.normal(0.08, n, 1, 1, 1)
    haze = _image(chance.uniform(0, 1, n) ** 3 * 0.25)
    scene = torch.lerp(scene * gain, torch.full_like(scene, 0.6), haze)
    return scene + chance.normal(1.0, n, 3, SIDE, SIDE) * _image(chance.uniform(0, 1, n) ** 2 * 0.025)


def _lens(sigma: Float[Tensor, "N"], sharp: Float[Tensor, "N"]) -> Float[Tensor, "N 32 32"]:
    """Matrices that blur a column of pixels by `sigma` pixels; `sharp` of a twice wider blur is undone."""
    narrow, wide = blur(torch.stack((sigma, 2 * sigma))[..., None, None], SIDE)
    return torch.lerp(narrow, wide, -sharp[:, None, None])


def _jpeg(scene: Tensor, chance: Chance) -> Tensor:
    """Rounding of the 8 x 8 cosine coefficients of a part of the crops, colour more coarsely than brightness."""
    chosen = (chance.coin(0.5, len(scene)) > 0).nonzero().flatten()
    n = len(chosen)
    frequency, place = torch.arange(8.0)[:, None], torch.arange(8.0)
    cosine = torch.cos((2 * place + 1) * frequency * math.pi / 16) * torch.where(frequency == 0, 0.5**0.5, 1.0) / 2
    to_luma = torch.tensor([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
    luma = torch.einsum("kc,nchw->nkhw", to_luma, scene[chosen])
    blocks = luma.view(n, 3, 4, 8, 4, 8).transpose(3, 4)
    step = (1 + frequency + place) * _image(chance.uniform(0.004, 0.03, n))[..., None, None]
    step = step * torch.tensor([1.0, 2.0, 2.0]).view(3, 1, 1, 1, 1)
    rounded = torch.round((cosine @ blocks @ cosine.mT) / step) * step
    back = (cosine.mT @ rounded @ cosine).transpose(3, 4).reshape(n, 3, SIDE, SIDE)
    return scene.index_copy(0, chosen, torch.einsum("ck,nkhw->nchw", torch.linalg.inv(to_luma), back))
