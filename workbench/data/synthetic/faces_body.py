"""Everything of a drawn face that is neither hair nor feature: background, clothes, neck, head, ears, light."""

import math

import torch

from workbench.data.synthetic.canvas import blur, ink
from workbench.data.synthetic.faces_shapes import Colour, Field, Scene, bar, ellipse, mix, rgb, smooth, tint

DARK_SKIN, MIDDLE_SKIN, LIGHT_SKIN = rgb(0.45, 0.30, 0.22), rgb(0.74, 0.53, 0.40), rgb(0.93, 0.73, 0.60)
PALE_SKIN = rgb(1.0, 0.94, 0.92)
GOLD, SILVER = rgb(0.98, 0.80, 0.28), rgb(0.90, 0.92, 0.97)


def choose_paints(scene: Scene) -> None:
    """Choose colours and sizes of the head that several parts need."""
    scene.paints["skin"] = _skin(scene)
    scene.paints["hair"] = _hair_colour(scene)
    scene.paints["metal"] = mix(GOLD, SILVER, (scene.vary("metal", 0, 1) > 0.5).float())
    male, chubby, oval = scene.has("Male"), scene.has("Chubby"), scene.has("Oval_Face")
    scene.paints["width"] = scene.vary("face_width", 13.6, 14.8) + 0.4 * male + 2.7 * chubby - 0.9 * oval
    scene.paints["chin"] = scene.vary("face_length", 18.2, 19.6) + 0.6 * male + 1.6 * oval
    scene.paints["jaw"] = scene.vary("jaw", 0.1, 0.3) + 0.25 * male + 0.3 * chubby - 0.5 * oval
    scene.paints["yaw"] = scene.vary("yaw", -1.3, 1.3)


def _skin(scene: Scene) -> Colour:
    tone = 2 * scene.vary("skin_tone", 0, 1) ** 0.7
    skin = mix(mix(DARK_SKIN, MIDDLE_SKIN, tone.clamp(max=1)), LIGHT_SKIN, (tone - 1).clamp(min=0))
    skin = skin * mix(rgb(1.03, 0.98, 0.96), rgb(0.98, 1.01, 0.98), scene.vary("skin_hue", 0, 1))
    return mix(skin, PALE_SKIN, 0.75 * scene.has("Pale_Skin"))


def _hair_colour(scene: Scene) -> Colour:
    """The mean of the colours that are named, copper where none is; paler and greyer with age."""
    tone, hue = scene.vary("hair_tone", 0.8, 1.2)[:, None], scene.vary("hair_hue", 0, 1)
    colours = {
        "Black_Hair": mix(rgb(0.06, 0.055, 0.06), rgb(0.09, 0.085, 0.11), hue),
        "Blond_Hair": mix(rgb(0.93, 0.76, 0.40), rgb(0.90, 0.80, 0.52), hue),
        "Brown_Hair": mix(rgb(0.33, 0.19, 0.10), rgb(0.40, 0.25, 0.15), hue),
        "Gray_Hair": mix(rgb(0.70, 0.71, 0.73), rgb(0.78, 0.79, 0.82), hue),
    }
    named = sum(scene.has(name) for name in colours)
    total = sum(colour * scene.has(name)[:, None] for name, colour in colours.items())
    copper = mix(rgb(0.50, 0.17, 0.12), rgb(0.64, 0.29, 0.15), hue)
    colour = torch.where(named[:, None] > 0, total / named.clamp(min=1)[:, None], copper) * tone
    return mix(colour, rgb(0.6, 0.6, 0.61), 0.22 * (1 - scene.has("Young")))


def background(scene: Scene) -> None:
    """Paint a slope from a colour to a neighbouring one, darker in the corners; a soft lamp behind attractive faces."""
    angle = scene.vary("ground_angle", 0, 2 * math.pi)
    along = scene.u * (angle.cos() / 45) + scene.v * (angle.sin() / 45)
    hue, saturation = scene.vary("ground_hue", 0, 1), scene.vary("ground_saturation", 0.05, 0.4)
    value = scene.vary("ground_value", 0.35, 0.95)
    other = (value + scene.vary("ground_slope", -0.3, 0.3)).clamp(0.2, 1)
    scene.image.copy_(tint(hue, saturation, value))
    scene.paint(smooth(along, 2.0), tint(hue + scene.vary("ground_second", -0.15, 0.15), saturation, other))
    away = scene.u**2 + scene.v**2
    scene.shade((away / 3200 - 0.25).clamp(0, 0.35))
    scene.paint(0.6 * (1 - away / 1500).clamp(min=0) ** 2 * scene.has("Attractive"), rgb(1, 0.98, 0.93))


def clothes(scene: Scene) -> None:
    """Paint shoulders, wider for men, in a colour with a neckline or a collar."""
    part = scene.near(-40, 17, 40, 40)
    male = part.has("Male")
    width = part.vary("shoulders", 24, 27) + 3.5 * male + 2 * part.has("Chubby")
    top = part.v - 24.5 + 1.0 * male - (part.u.abs() / width) ** 2 * 4.5 + 1.5 * smooth(5 - part.u.abs(), 6)
    saturation, value = part.vary("cloth_saturation", 0.1, 0.75), part.vary("cloth_value", 0.2, 0.9)
    part.paint(ink(top), tint(part.vary("cloth_hue", 0, 1), saturation, value))
    part.shade(smooth(bar(part.u.abs() - 15 - (part.v - 28) * 0.3, 0.6), 2.5) * ink(top), 0.85)


def neck(scene: Scene) -> None:
    """Paint neck and neckline, shaded under the chin; a second chin where there is one."""
    part = scene.near(-16, 8, 16, 34)
    male, skin = part.has("Male"), part.paints["skin"]
    half = 6.3 + 2.1 * male + 1.6 * part.has("Chubby") + (part.v - 20).clamp(min=0) ** 2 * 0.035
    low = 27.5 - (part.u / (8.5 + 1.5 * male)) ** 2 * 4 - 1.2 * male  # the neckline
    field = torch.minimum(torch.minimum(half - part.u.abs(), low + 1 - part.v), part.v - 5)
    part.paint(ink(field), skin * 0.93)
    below = part.v - part.paints["chin"]
    part.shade(smooth(4.5 - below - (part.u / 9) ** 2 * 2, 5) * ink(field), 0.72)
    for part in scene.near(-14, 8, 14, 29).only(scene.has("Double_Chin")):
        field = ellipse(part.u - part.paints["yaw"] * 0.4, part.v - part.paints["chin"] + 3.2, 11.0, 7.4)
        part.shade(smooth(field + 1.4, 3), 0.5)
        part.paint(ink(field), part.paints["skin"] * 0.97)
        part.shade(smooth(bar(field - 0.4, 0.6), 1.6) * ink(part.v - 10), 0.5)


def necklace(scene: Scene) -> None:
    """Paint a chain of beads round the neck."""
    for part in scene.near(-14, 16, 14, 34).only(scene.has("Wearing_Necklace")):
        arc = part.v - 27.2 + (part.u / 9.5) ** 2 * 5.2
        pitch = part.vary("beads", 2.2, 3.4)
        along = torch.remainder(part.u + pitch / 2, pitch) - pitch / 2
        beads = 1.45 - (along**2 + arc**2 * 0.75).sqrt()
        reach = ink(10.2 - part.u.abs())
        part.shade(smooth(bar(arc - 1.2, 0.5), 2) * reach, 0.65)
        part.paint(torch.maximum(ink(bar(arc, 0.45)), ink(beads)) * reach, part.paints["metal"])
        part.paint(ink(0.5 - (along**2 + (arc + 0.4) ** 2).sqrt()) * reach, rgb(1, 1, 1))


def necktie(scene: Scene) -> None:
    """Paint a white collar and a tie."""
    for part in scene.near(-14, 17, 14, 38).only(scene.has("Wearing_Necktie")):
        below = part.v - 22.5
        shirt = torch.minimum(9.5 - part.u.abs() - below * 0.35, below + 2.5 - (part.u.abs() - 7).abs() * 0.45)
        part.paint(ink(shirt), rgb(0.97, 0.97, 0.98))
        part.shade(smooth(bar(part.u.abs() - 2.6 - (3.5 - below) * 0.9, 0.3), 1.2) * ink(shirt), 0.7)
        tie = torch.minimum(1.9 + (below - 3.5).abs() * 0.28 - part.u.abs(), below - 1.2)
        hue = part.vary("tie_hue", 0, 1)
        colour = tint(hue, 0.75, part.vary("tie_value", 0.3, 0.8))
        part.paint(ink(tie), colour)
        stripes = smooth(torch.sin((part.u + part.v) * 1.6), 0.6) * part.vary("tie_stripes", 0, 0.5)
        part.paint(stripes * ink(tie), tint(hue + 0.45, 0.3, 0.95))


def head_field(scene: Scene) -> Field:
    """Return distance to the head's outline: a half ellipse above, a jaw between oval and square below."""
    width, chin = scene.paints["width"], scene.paints["chin"]
    u = scene.u - scene.paints["yaw"] * 0.25
    low = scene.v.clamp(min=0) / chin
    across, down = (u / width) ** 2, (scene.v / torch.where(scene.v > 0, chin, 19.0)) ** 2
    narrow = across * (1 + 0.55 * low**2)
    square = (narrow + down - scene.paints["jaw"] * across * low**2 * 1.6).clamp(min=1e-6).sqrt()
    return (1 - square) * (width + chin) / 2


def head(scene: Scene) -> None:
    """Paint ears, then the head with a soft shadow at its edge and on the side that the light does not reach."""
    part = scene.near(-21, -4, 21, 6)
    out = part.u.abs() - part.paints["width"] - part.vary("ears", 0.2, 0.9)
    part.paint(ink(ellipse(out, part.v - 1.0, 2.3, 4.2)), part.paints["skin"] * 0.93)
    part.shade(smooth(ellipse(out, part.v - 1.0, 1.1, 2.6), 1.6), 0.8)
    part = scene.near(-18, -20, 18, 22)
    field = head_field(part)
    part.paint(ink(field), part.paints["skin"])
    side = part.vary("light_x", -1, 1)
    dark = 0.16 * smooth(2.2 - field, 4.5) + 0.22 * side.abs() * smooth(-part.u * side, 31)
    part.shade(dark * ink(field))


def earrings(scene: Scene) -> None:
    """Paint a drop of metal below each ear."""
    for part in scene.near(-21, 1, 21, 16).only(scene.has("Wearing_Earrings")):
        out = part.u.abs() - part.paints["width"] - 0.9
        drop = part.vary("ear_drop", 6.8, 8.6)
        ball = ellipse(out, part.v - drop, 1.7, 2.1)
        part.shade(smooth(ball + 0.8, 1.5), 0.6)
        hook = torch.minimum(bar(out, 0.5), bar(part.v - 5.5, 2.2))
        part.paint(torch.maximum(ink(ball), ink(hook)), part.paints["metal"])
        part.paint(ink(0.65 - ((out + 0.4) ** 2 + (part.v - drop + 0.7) ** 2).sqrt()), rgb(1, 1, 1))


def lighting(scene: Scene) -> None:
    """Light the picture: exposure, a slope of light and the colour of the lamp."""
    slope = 1 + (scene.u * scene.vary("light_x", -1, 1) - scene.v * scene.vary("light_y", -0.2, 1)) * 0.004
    scene.image.mul_((slope * scene.vary("exposure", 0.88, 1.06))[:, None])
    scene.image.mul_(mix(rgb(1.04, 1.0, 0.94), rgb(0.96, 1.0, 1.05), scene.vary("warmth", 0, 1)))


def blurred(scene: Scene) -> None:
    """Blur whole pictures that are out of focus, by a Gaussian of about two pixels."""
    for some in scene.only(scene.has("Blurry")):
        kernel = blur(some.vary("blur", 1.7, 2.4), some.image.shape[-1])
        some.image.copy_(kernel[:, None] @ some.image @ kernel[:, None].mT)
