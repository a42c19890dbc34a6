"""polydigits-M: one digit in M modalities, each rendered by the project itself in a style of its own.

A family in the manner of PolyMNIST (Sutter et al. 2021) with room for sixteen modalities. The styles' names begin with
A to P, which so become the modalities' letters, and `polydigits-M` is the first M of them. A style paints digits of
fonts, or of real handwriting (the UCI digits), in colour, 28x28. Every image has its own shape, place and colours, and
images are paired at random within a class, so that modalities share the class and nothing else.

This file names the styles and needs nothing to do so; `workbench.data.synthetic.polydigits_images` renders them.
"""

FAMILY = "polydigits"
HANDWRITING = "real handwriting (8x8 UCI digits) redrawn"
STYLES = {
    "amber": "glowing amber display",
    "blueprint": "white outlines on a blueprint",
    "chalk": f"{HANDWRITING} in chalk on a blackboard",
    "dots": "a dot matrix of lamps",
    "embossed": "reliefs in stone",
    "flag": "bold digits on striped flags",
    "graffiti": "fat two-coloured digits on a brick wall",
    "hatched": "hatched areas on cream paper",
    "ink": f"{HANDWRITING} in ink on ruled paper",
    "jolted": "digits torn into bands, their colours out of register",
    "knitted": "two-coloured knitting",
    "label": "white digits on a coloured disc",
    "mosaic": "warm tiles among cool ones",
    "neon": f"{HANDWRITING} as neon tubes",
    "oldfilm": "a scratched sepia film counting down",
    "pencil": f"{HANDWRITING} in pencil on white paper",
}
FEWEST, MOST = 2, len(STYLES)


def members(word: str) -> tuple[str, ...]:
    """List the styles of "polydigits-M"; any other word is its only member. ValueError unless M is 2 to 16."""
    family, _, number = word.partition("-")
    if family != FAMILY:
        return (word,)
    if not number.isdecimal() or not FEWEST <= int(number) <= MOST:
        raise ValueError(
            f"{word!r} is no data set: write {FAMILY}-M with a number M of modalities from {FEWEST} to {MOST}"
        )
    return tuple(STYLES)[: int(number)]


def describe(style: str) -> str:
    """Say what a style is in one line, and that it is rendered."""
    return f"28x28 colour digits rendered by this project, {STYLES[style]}: NOT real images"


def describe_family(styles: tuple[str, ...]) -> str:
    """Say what several styles are in one line, and that they are rendered."""
    return (
        f"28x28 colour digits rendered by this project in {len(styles)} styles ({', '.join(styles)}), one for each "
        "modality: NOT real images"
    )
