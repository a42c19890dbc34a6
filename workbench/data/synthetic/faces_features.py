"""Features of a drawn face: eyes, brows, spectacles, nose, mouth, cheeks, and what age and make-up do to them.

Left and right are drawn at once: `|u|` folds the face, and what tells its halves apart is multiplied by the sign.
"""

import torch

from workbench.data.synthetic.canvas import ink
from workbench.data.synthetic.faces_shapes import Each, Field, Scene, bar, ellipse, mix, rgb, smooth, tint, turned

EYES, BROWS, NOSE, MOUTH = -1.0, -7.0, 5.6, 12.0  # heights of the features, v
GAP = 6.9  # from the middle of the face to that of an eye


def _folded(part: Scene) -> tuple[Field, Field, Field]:
    """From the middle of an eye outwards and down, and on which side (-1, 1)."""
    u = part.u - part.paints["yaw"]
    return u.abs() - part.vary("eye_gap", GAP - 0.4, GAP + 0.4), part.v - EYES, u.sign()


def _lean(part: Scene) -> Each:
    """How much a face that is not attractive is crooked, in pixels."""
    lean = part.vary("lean", -1, 1)
    return (1 - part.has("Attractive")) * lean.sign() * (0.5 + 0.5 * lean.abs())


def _height(part: Scene) -> Each:
    """Half the height of an open eye."""
    open_eye = part.vary("eye_size", 1.9, 2.3) + 0.4 * part.has("Attractive")
    return open_eye * (1 - 0.58 * part.has("Narrow_Eyes"))


def eyes(scene: Scene) -> None:
    """Paint whites, iris, pupil, catch-light and lids; eye shadow and a dark line with make-up."""
    part = scene.near(-14, -8, 14, 6)
    out, down, side = _folded(part)
    down = down + side * 0.55 * _lean(part)
    half, makeup, charm = _height(part), part.has("Heavy_Makeup"), part.has("Attractive")
    lid = half * (1 - (out / 3.9) ** 2)
    shadow = smooth(ellipse(out - 0.5, down + 1.6, 4.9, 3.6), 2.0) * makeup * ink(1.0 - down)
    part.paint(shadow * 0.85, tint(part.vary("shadow_hue", 0.55, 0.95), 0.6, 0.55))
    part.shade(smooth(ellipse(out, down + 0.4, 5.0, 3.6), 4), 0.88)
    opening = torch.minimum(lid - down.abs(), 3.6 - out.abs())
    part.paint(ink(opening), mix(rgb(0.98, 0.97, 0.96), part.paints["skin"], 0.12))
    gaze = out - side * part.vary("gaze_x", -0.7, 0.7)
    ball = (gaze**2 + (down - part.vary("gaze_y", -0.25, 0.25)) ** 2).sqrt()
    brown = tint(part.vary("eye_hue", 0.04, 0.1), 0.75, part.vary("eye_value", 0.2, 0.45))
    light = tint(part.vary("eye_value", 0.3, 0.62), 0.55, 0.62)
    iris = mix(brown, light, (part.vary("eye_hue", 0, 1) > 0.6).float())
    visible = ink(opening)
    part.paint(ink(1.95 - ball) * visible, iris)
    part.paint(ink(0.95 - ball) * visible, rgb(0.03, 0.03, 0.04))
    spark = 0.85 - ((gaze + 0.6 * side) ** 2 + (down + 0.7) ** 2).sqrt()
    part.paint(ink(spark) * ink(opening + 0.4) * (0.25 + 0.75 * charm), rgb(1, 1, 1))
    lash = bar(down + lid.clamp(min=-0.3), 0.4 + 0.45 * makeup + 0.12 * (1 - part.has("Male")))
    reach = ink(3.9 + 1.3 * makeup - out) * ink(out + 3.9)
    part.paint(ink(lash) * reach * (0.75 + 0.25 * makeup), rgb(0.10, 0.06, 0.06))
    part.paint(ink(bar(down - lid, 0.25)) * ink(3.6 - out.abs()) * (0.3 + 0.6 * makeup), rgb(0.25, 0.14, 0.12))


def under_eyes(scene: Scene) -> None:
    """Paint bags: a violet crescent with a crease below each eye."""
    for part in scene.near(-13, -1, 13, 7).only(scene.has("Bags_Under_Eyes")):
        out, down, _ = _folded(part)
        bow = down - 2.6 - 1.5 * (1 - (out / 3.8) ** 2)
        reach = smooth(3.9 - out.abs(), 2)
        part.paint(smooth(bar(bow + 0.7, 1.1), 1.6) * reach * 0.5, rgb(0.36, 0.20, 0.32))
        part.paint(ink(bar(bow - 0.2, 0.35)) * reach * 0.6, rgb(0.25, 0.12, 0.14))


def brows(scene: Scene) -> None:
    """Paint brows, straight or arched, thin or bushy, in a darker tone of the hair."""
    part = scene.near(-15, -15, 15, -2)
    out, _, side = _folded(part)
    male, arch = part.has("Male"), part.has("Arched_Eyebrows")
    middle = BROWS + part.vary("brow_height", -0.4, 0.6) + 0.8 * male - 0.4 * part.has("Attractive")
    along = (out + 0.2) / 4.4
    rise = arch * (3.1 * (1 - (along - 0.25) ** 2) - 1.6) + (1 - arch) * 0.35 * (1 - along**2)
    down = part.v - middle + rise + side * 0.5 * _lean(part)
    bushy = part.has("Bushy_Eyebrows")
    half = (part.vary("brow_weight", 0.5, 0.75) + 0.15 * male + 1.0 * bushy) * (1.1 - 0.45 * along.clamp(-1, 1))
    colour = mix(part.paints["hair"] * 0.62, rgb(0.12, 0.08, 0.06), 0.35)
    part.paint(ink(torch.minimum(half - down.abs(), 4.5 + 0.4 * bushy - (out + 0.2).abs())) * 0.95, colour)


def glasses(scene: Scene) -> None:
    """Paint two frames, a bridge, temples, and a glint on the lenses."""
    for part in scene.near(-18, -9, 18, 8).only(scene.has("Eyeglasses")):
        out, down, _ = _folded(part)
        shape = part.vary("frame_shape", 0, 1)
        x, y = ((out - 0.3) / 5.2) ** 2, ((down - 0.3) / 4.4) ** 2
        lens = (1 - (x + y - shape * x.clamp(max=1) * y.clamp(max=1)).clamp(min=0).sqrt()) * 4.8
        part.paint(ink(lens) * 0.14, rgb(0.85, 0.93, 1.0))
        part.paint(ink(bar(out + down + 1.5, 0.6)) * ink(lens - 0.5) * 0.45, rgb(1, 1, 1))
        frame = torch.maximum(bar(lens, 0.75), torch.minimum(bar(down + 0.8, 0.6), -out - 4.4))
        temple = torch.minimum(bar(down + 0.8, 0.6), torch.minimum(out - 5, part.paints["width"] + 0.5 - part.u.abs()))
        colour = tint(part.vary("frame_hue", 0, 1), 0.5, part.vary("frame_hue", 0.05, 0.3))
        part.paint(ink(torch.maximum(frame, temple)), colour)


def nose(scene: Scene) -> None:
    """Paint a ridge with a shaded flank, a tip and nostrils: broad, or narrow and pointed, or both."""
    part = scene.near(-8, -4, 8, 12)
    big, pointy, skin = part.has("Big_Nose"), part.has("Pointy_Nose"), part.paints["skin"]
    u = part.u - 1.4 * part.paints["yaw"] - 0.5 * _lean(part)
    tip = NOSE + part.vary("nose_length", -0.5, 0.6) + 0.7 * big + 1.2 * pointy
    half = 2.5 + 1.7 * big - 0.7 * pointy
    v = part.v - tip
    flank = torch.minimum(0.6 + half * 0.8 * ((v + 7) / 7).clamp(0, 1) - u.abs(), torch.minimum(v + 7, 0.8 - v))
    light = part.vary("light_x", -1, 1).sign()
    part.shade(smooth(flank, 2.5) * ink(-u * light, 1.5), 0.80)
    ridge = smooth(bar(u, 0.6), 1.2) * smooth(v + 6, 3) * ink(-v) * (0.2 + 0.5 * pointy)
    part.paint(ridge, mix(skin, rgb(1, 1, 1), 0.55))
    wings = ellipse(u.abs() - half * 0.85, v + 0.3, 0.9 + 0.8 * big, 1.2 + 0.7 * big)
    part.shade(ink(bar(wings, 0.35)) * ink(u.abs() - half * 0.7) * (0.45 + 0.35 * big), 0.45)
    shine = smooth(ellipse(u + 0.5, v + 1.1, 1.2 + big, 1.0 + 0.8 * big), 1.6) * (0.15 + 0.45 * big)
    part.paint(shine, mix(skin, rgb(1, 1, 1), 0.6))
    under = v - 1.0 - pointy * (1.6 - 1.3 * u.abs()).clamp(min=0) + (u / half) ** 2 * 0.7
    part.shade(ink(bar(under, 0.4 + 0.2 * pointy)) * ink(half + 0.4 - u.abs()) * (0.55 + 0.35 * pointy), 0.35)
    holes = ellipse(u.abs() - half * 0.55, v - 0.6, 0.7 + 0.5 * big, 0.55 + 0.2 * big)
    part.paint(ink(holes) * 0.7, rgb(0.22, 0.10, 0.08))


def mouth(scene: Scene) -> None:
    """Paint lips along a curve that a smile bends up; teeth and the dark between parted lips."""
    part = scene.near(-10, 6, 10, 19)
    smile, gape, big = part.has("Smiling"), part.has("Mouth_Slightly_Open"), part.has("Big_Lips")
    u, lean = part.u - part.paints["yaw"], _lean(part)
    half = part.vary("mouth_width", 4.9, 5.7) + 1.1 * smile - 0.4 * gape
    along = (u / half) ** 2
    bend = smile * part.vary("smile", 2.2, 3.0) + 0.1
    middle = MOUTH + part.vary("mouth_height", -0.4, 0.4) + bend * (0.55 - along) + 0.05 * lean * u
    v = part.v - middle
    span = (1 - along).clamp(min=0)
    gap = gape * part.vary("gape", 1.35, 1.85) * span
    fat = 1.3 + 1.2 * big + 0.2 * part.has("Wearing_Lipstick")
    upper = -v - gap - 0.95 * fat * span * (1 - 0.22 * torch.exp(-u * u))
    lower = v - gap - 1.25 * fat * span.sqrt() * span.clamp(min=0.2)
    lips = torch.minimum(torch.minimum(-upper, -lower), (half - u.abs()))
    cover = ink(lips)
    lip = mix(part.paints["skin"] * rgb(0.80, 0.50, 0.50), rgb(0.80, 0.36, 0.38), part.vary("lip_tone", 0.4, 0.65))
    stick = tint(part.vary("lipstick_hue", 0.92, 1.0), 0.92, 0.80)
    part.paint(cover, mix(lip, stick, 0.92 * part.has("Wearing_Lipstick")))
    gloss = smooth(ellipse(u, v - gap - 0.8 * fat, half * 0.45, 0.6 * fat), 1.0)
    part.paint(gloss * (0.14 + 0.3 * part.has("Wearing_Lipstick")), rgb(1, 0.93, 0.93))
    inside = torch.minimum(gap - v.abs(), half - 0.5 - u.abs())
    part.paint(ink(inside) * gape, rgb(0.26, 0.06, 0.07))
    part.paint(ink(torch.minimum(inside + 0.1, 0.25 + gap * 0.1 - v)) * gape, rgb(0.98, 0.97, 0.94))
    part.paint(ink(bar(v, 0.3)) * ink(half - u.abs()) * (1 - gape) * 0.75, rgb(0.30, 0.10, 0.10))
    corners = 0.8 - ((u.abs() - half) ** 2 + v**2).sqrt()
    part.paint(ink(corners) * (0.35 + 0.3 * smile), rgb(0.35, 0.15, 0.12))


def cheekbones(scene: Scene) -> None:
    """Paint a light on high cheekbones, above a hollow."""
    for part in scene.near(-15, -1, 15, 13).only(scene.has("High_Cheekbones")):
        skin = part.paints["skin"]
        u = (part.u - part.paints["yaw"] * 0.7).abs()
        light = smooth(ellipse(*turned(u - 9.2, part.v - 3.9, -0.5), 3.6, 1.5), 2.2)
        part.paint(light * 0.62, mix(skin, rgb(1, 0.97, 0.93), 0.6))
        part.shade(smooth(ellipse(*turned(u - 9.6, part.v - 7.8, -0.75), 3.6, 1.3), 2.4), 0.76)


def blush(scene: Scene) -> None:
    """Paint rosy cheeks."""
    for part in scene.near(-14, 0, 14, 12).only(scene.has("Rosy_Cheeks")):
        u = (part.u - part.paints["yaw"] * 0.7).abs()
        spot = smooth(3.6 - ((u - 8.3) ** 2 + (part.v - 6.2) ** 2).sqrt(), 3.2)
        part.paint(spot * 0.62, rgb(0.95, 0.30, 0.38))


def wrinkles(scene: Scene) -> None:
    """Paint age: lines on the forehead, at the eyes, and from nose to mouth."""
    for part in scene.near(-14, -14, 14, 13).only(1 - scene.has("Young")):
        u, v = part.u - part.paints["yaw"], part.v
        wave = 0.3 * torch.sin(u * 0.9 + part.vary("phase", 0, 6))
        lines = ink(torch.maximum(bar(v + 10.6 + wave, 0.3), bar(v + 12.6 - wave, 0.3))) * smooth(7.5 - u.abs(), 3)
        fold = ink(bar(u.abs() - 4.1 - (v - 6).clamp(min=0) * 0.42, 0.4)) * smooth(bar(v - 8.8, 3.2), 1.5)
        away = u.abs() - 11
        feet = torch.maximum(bar(v - EYES - 0.4 - away * 0.5, 0.28), bar(v - EYES + 0.6 + away * 0.4, 0.28))
        feet = ink(feet) * ink(bar(away - 1.2, 1.3))
        part.paint(torch.maximum(torch.maximum(lines, fold), feet) * 0.7, part.paints["skin"] * 0.55)


def complexion(scene: Scene) -> None:
    """Paint freckles, now and then; a glow on forehead and chin where the light is that of `attractive`."""
    for part in scene.near(-12, -1, 12, 9).only(scene.vary("freckles", 0, 1) > 0.8):
        u, v, phase = part.u - part.paints["yaw"], part.v, part.vary("freckles", 0, 200)
        spots = torch.sin(u * 2.1 + phase) * torch.sin(v * 2.3 + 0.7 * u + phase) - 0.6
        where = smooth(bar(v - 3.8, 2.6), 2) * smooth(10 - u.abs(), 3)
        part.shade(ink(spots, 0.5) * where, 0.8)
    for part in scene.near(-10, -14, 10, 18).only(scene.has("Attractive")):
        u, v = part.u - part.paints["yaw"], part.v
        glow = smooth(ellipse(u, v + 8.5, 6, 3), 5) + smooth(ellipse(u, v - 15.5, 2.6, 1.8), 2.5)
        part.paint(glow.clamp(max=1) * 0.35, mix(part.paints["skin"], rgb(1, 0.98, 0.94), 0.7))
