"""Hair of a drawn face, on the head and on the chin, and the hat over it."""

from dataclasses import replace

import torch

from workbench.data.synthetic.canvas import ink
from workbench.data.synthetic.faces_body import head_field
from workbench.data.synthetic.faces_shapes import Colour, Each, Field, Scene, bar, ellipse, mix, rgb, smooth, tint

HAIRLINE = -12.0  # v of the hair's lower edge on the forehead


def _length(scene: Scene) -> Each:
    """v where the hair ends: above the ears for most men, on the shoulders for most women."""
    draw = scene.vary("hair_length", 0, 1)
    short = 2.5 * draw - 1.5 + 12 * (draw > 0.94)
    long = 15 + 16 * draw - 9 * (draw < 0.1)
    return torch.where(scene.has("Male") > 0, short, long)


def _waves(scene: Scene) -> Field:
    """How far a wavy outline is from a smooth one."""
    phase = scene.vary("phase", 0, 6.28)
    return scene.has("Wavy_Hair") * 1.1 * torch.sin(scene.v * 0.85 + phase + 0.35 * scene.u)


def _outline(scene: Scene, waves: Field) -> Field:
    """Distance to all the hair, as if there were no face; close to the head at the sides where it is short."""
    straight, length = scene.has("Straight_Hair"), _length(scene)
    volume = scene.vary("hair_volume", 1.4, 3.0) + 1.1 * scene.has("Wavy_Hair") - 0.5 * straight
    across = scene.paints["width"] + volume
    spread = 1 + 0.006 * scene.v.clamp(min=0) - 0.016 * (scene.v + 11).clamp(min=0, max=12) * (length < 4)
    top = ellipse(scene.u / spread, scene.v.clamp(max=0), across, 20.5 + volume)
    sides = across * spread - scene.u.abs()
    ragged = (1 - straight) * torch.sin(scene.u * 0.9 + scene.vary("phase", 0, 6.28))
    field = torch.where(scene.v < 0, top + 0.35 * ragged * ink(-scene.v - 12, 4), sides) + waves
    return torch.minimum(field, length + 1.6 * ragged - scene.v)


def _strands(scene: Scene, cover: Field) -> None:
    """Light and dark along the hair: combed straight, or curled."""
    covered = replace(scene, paints={**scene.paints, "cover": cover})
    for some in covered.only(scene.has("Straight_Hair")):
        part = some.u - some.vary("parting", -6, 6)
        combed = torch.sin(part * some.vary("strands", 1.6, 2.1) * (1 - 0.012 * some.v))
        some.shade(combed * some.paints["cover"], 0.83)
    for some in covered.only(scene.has("Wavy_Hair")):
        part = some.u - some.vary("parting", -6, 6)
        swing = torch.sin(some.v * 0.85 + some.vary("phase", 0, 6.28))
        some.shade(torch.sin(part * 0.75 + 1.5 * swing + some.v * 0.25) * some.paints["cover"], 0.77)


def back_hair(scene: Scene) -> None:
    """Paint long hair behind the neck and on the shoulders; `front_hair` paints over all of it that is higher."""
    for part in scene.near(-26, -7, 26, 40).only((1 - scene.has("Bald")) * (_length(scene) > 4)):
        cover = ink(_outline(part, _waves(part))) * ink(part.v + 6)
        part.paint(cover, part.paints["hair"])
        _strands(part, cover)
        part.shade(smooth(part.paints["width"] - 2 - part.u.abs(), 3) * cover, 0.7)


def _opening(scene: Scene, waves: Field) -> Field:
    """Distance to the part of the head that hair leaves free."""
    receding, bangs, male = scene.has("Receding_Hairline"), scene.has("Bangs"), scene.has("Male")
    part = scene.u - scene.vary("parting", -6, 6)
    line = HAIRLINE + scene.vary("fringe", -0.8, 0.8) - 4.0 * receding
    u, swept = scene.u - 0.4 * scene.paints["yaw"], part * scene.vary("parting", 0.14, -0.14)
    across = scene.paints["width"] - 0.9 + 1.6 * male
    face = ellipse(u, scene.v - 14.0 + swept * ink(-scene.v - 6, 8), across, 14.0 - line) + 0.5 * waves
    face = torch.where(scene.v > 14.0, across - u.abs(), face)
    temples = ellipse(u.abs() - 6.0, scene.v + 11.6, 3.6, 4.6)
    face = torch.where(receding > 0, torch.maximum(face, temples), face)
    fringe = scene.v + 8.6 + 0.8 * torch.sin(part * 1.3) + 0.09 * part
    return torch.where(bangs > 0, torch.minimum(face, fringe), face)


def front_hair(scene: Scene) -> None:
    """Paint the hair round the face, with a fringe, or with receding temples."""
    part = scene.near(-24, -28, 24, 16)
    waves = _waves(part)
    opening = _opening(part, waves)
    field = torch.minimum(_outline(part, waves), -opening) - 99 * part.has("Bald")
    cover = ink(field)
    part.shade(smooth(field + 1.6, 2.8) * ink(head_field(part)), 0.86)
    part.paint(cover, part.paints["hair"])
    _strands(part, cover)
    arc = part.v + 16 - ((part.u - part.vary("parting", -6, 6)) / 12) ** 2 * 4
    part.paint(smooth(bar(arc, 1.0), 2.5) * cover * 0.14, mix(part.paints["hair"], rgb(1, 0.97, 0.92), 0.8))
    _bald(scene)


def _bald(scene: Scene) -> None:
    """A shining crown, and what is left above the ears; a fringe if the words ask for one all the same."""
    for part in scene.near(-19, -24, 19, 8).only(scene.has("Bald")):
        low = 1.7 * part.has("Receding_Hairline")  # even there, less is left
        shell = part.paints["width"] + 1.1 - part.u.abs()
        left = torch.minimum(shell, part.u.abs() - part.paints["width"] + 1.0)
        left = torch.minimum(left, bar(part.v + 1.5 - low, 4.0 - low))
        part.paint(smooth(left, 1.5) * 0.7, part.paints["hair"] * 0.9)
        light = part.vary("light_x", -5, 5)
        part.paint(smooth(ellipse(part.u - light, part.v + 14.5, 4.6, 2.4), 3) * 0.6, rgb(1, 0.98, 0.95))
        lock = torch.minimum(5 - part.u.abs() - (part.v + 9) * 0.4, bar(part.v + 13, 4.5))
        part.paint(ink(lock) * part.has("Bangs"), part.paints["hair"])


def hat(scene: Scene) -> None:
    """Paint a woollen hat with a turned-up edge, or a cap with a peak."""
    for part in scene.near(-26, -32, 26, 0).only(scene.has("Wearing_Hat")):
        hue, value = part.vary("hat_hue", 0, 1), part.vary("hat_value", 0.3, 0.85)
        cloth = tint(hue, part.vary("hat_saturation", 0.3, 0.85), value)
        tilt = part.u * part.vary("hat_tilt", -0.07, 0.07)
        v = part.v + tilt + 12.0
        cap = (part.vary("hat_kind", 0, 1) > 0.5).float()
        across = part.paints["width"] + 3.2
        crown = torch.minimum(ellipse(part.u, v, across, 13.5), 1.5 - v)
        part.paint(ink(crown), cloth)
        knit = 1 - 0.16 * (1 - cap) * (torch.sin(part.u * 2.0) > 0) * ink(crown)
        part.image.mul_(knit[:, None])
        band = torch.minimum(bar(v, 2.6), across + 0.6 - part.u.abs())
        peak = ellipse(part.u, v - 1.2 + (part.u / 19) ** 2 * 3, across + 2.2, 2.9)
        edge = torch.where(cap > 0, peak, band)
        part.shade(smooth(edge + 1.2, 2.4) * ink(v), 0.7)
        part.paint(ink(edge), cloth * 0.72)
        part.shade(smooth(-part.u * part.vary("light_x", -1, 1) / 12, 2) * ink(torch.maximum(crown, edge)), 0.82)


def _lower_face(part: Scene, cheek: Each | float | int) -> Field:
    """The part of the head below the upper lip and, `cheek` pixels lower, the cheeks; higher up towards the ears."""
    u = (part.u - part.paints["yaw"] * 0.6).abs()
    line = part.v - 5.5 - cheek + 2.2 * (u - 9.5).clamp(min=0) - 2.2 * smooth(8 - u, 5)
    return torch.minimum(line, head_field(part) + 0.6)


def _around_mouth(part: Scene) -> Field:
    """Positive where lips are, which stay free of hair."""
    return ellipse(part.u - part.paints["yaw"], part.v - 12.2, 6.2, 2.7)


def beards(scene: Scene) -> None:
    """Paint shadow of stubble, sideburns, full beard, goatee and moustache, each where its word says."""
    _stubble(scene)
    _sideburns(scene)
    hairy = torch.maximum(torch.maximum(1 - scene.has("No_Beard"), scene.has("Goatee")), scene.has("Mustache"))
    for part in scene.near(-17, 2, 17, 26).only(hairy):
        _full_beard(part)
        _goatee(part)
        _moustache(part)


def _grain(part: Scene) -> Field:
    """Short hairs: a lively but repeatable texture in -1..1."""
    a, b = part.vary("grain_x", 0, 40), part.vary("grain_y", 0, 40)
    across = torch.sin(part.u * 3.1 + a + 1.3 * torch.sin(part.v * 1.9))
    return across * torch.sin(part.v * 2.7 + b + torch.sin(part.u * 2.2))


def _stubble(scene: Scene) -> None:
    for part in scene.near(-17, 2, 17, 28).only(scene.has("5_o_Clock_Shadow")):
        cover = smooth(_lower_face(part, 0), 2.5) * (1 - ink(_around_mouth(part) + 0.6, 1.5))
        part.paint(cover * (0.45 + 0.16 * _grain(part)), rgb(0.20, 0.22, 0.27))


def _sideburns(scene: Scene) -> None:
    for part in scene.near(-17, -9, 17, 14).only(scene.has("Sideburns")):
        inner = part.u.abs() - part.paints["width"] + 3.9 + (part.v / 11).clamp(0, 1) * 1.2
        strip = torch.minimum(torch.minimum(inner, head_field(part) + 0.4), torch.minimum(10.5 - part.v, part.v + 8))
        part.paint(ink(strip, 1.2) * (0.9 + 0.1 * _grain(part)), _beard_colour(part))


def _beard_colour(part: Scene) -> Colour:
    return mix(part.paints["hair"] * 0.78, rgb(0.10, 0.07, 0.05), 0.15)


def _full_beard(part: Scene) -> None:
    field = _lower_face(part, 3.4 - part.vary("beard_length", 0, 1))
    free = 1 - ink(_around_mouth(part) - 0.2)
    cover = ink(field, 1.5) * free * ink(part.v - 9.5 - 3 * smooth(7 - (part.u - part.paints["yaw"]).abs(), 2), 1.5)
    part.paint(cover * (1 - part.has("No_Beard")) * (0.78 + 0.14 * _grain(part)), _beard_colour(part))


def _goatee(part: Scene) -> None:
    u, chin = part.u - part.paints["yaw"] * 0.7, part.paints["chin"]
    tuft = ellipse(u, part.v - chin + 1.6, 4.6, 3.6)
    ring = torch.minimum(bar(ellipse(u, part.v - 12.6, 7.4, 4.9), 0.9), part.v - 11.0)
    cover = torch.maximum(ink(tuft, 1.2), ink(ring, 1.2)) * (1 - ink(_around_mouth(part) - 0.2))
    part.paint(cover * part.has("Goatee") * (0.94 + 0.06 * _grain(part)), _beard_colour(part) * 0.8)


def _moustache(part: Scene) -> None:
    u = (part.u - part.paints["yaw"]).abs()
    curve = part.v - 8.9 - 0.035 * u**2
    field = torch.minimum(1.6 * (1 - (u / 7.2) ** 2).clamp(min=0).sqrt() + 0.15 - curve.abs(), 7.0 - u)
    part.paint(ink(field) * part.has("Mustache") * (0.92 + 0.08 * _grain(part)), _beard_colour(part) * 0.85)
