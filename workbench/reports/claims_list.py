"""The list of the paper's ordinal claims: what each says, where the paper says it, and what it compares.

To add a claim, add a line to `CLAIMS`. Where a claim is about several subsets or paths, its sentence says that their
mean is meant; where it is about several methods, each must pass: the difference is that of the nearest two. The text
claims nothing about random coherence, and so does this list.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.reports.contrasts import Above, BeyondParts, Comparison, Contrast, Numbers, Pick, given
from workbench.reports.published import RANDOM
from workbench.runs.naming import spelt

GREATER, EQUAL, NOT_BELOW = "greater", "equal", "not below"  # what a claim says of its difference, compared with 0


@dataclass(frozen=True)
class Claim:
    """One ordinal claim: a sentence, its place in the paper, and a comparison within one of `specs.SPECS`."""

    name: str
    where: str  # table and section of the paper
    table: str
    pick: Pick
    compare: Comparison
    statement: str
    kind: str = GREATER

    @property
    def methods(self) -> tuple[str, ...]:
        """Keys in `published` of the methods whose numbers it needs."""
        return self.compare.methods

    def contrast(self, numbers: Numbers) -> Contrast:
        """What makes the difference, of our numbers or the paper's: weights of cells, none where columns lack."""
        return self.compare(numbers, self.pick)


def _both(
    name: str, place: tuple[str, str], pick: Pick, compare: Above | BeyondParts, statement: str, kind: str = GREATER
) -> list[Claim]:
    """A claim of models with a shared space, and the same of models with subspaces."""
    spaces = {"": "shared space", "-ms": "subspaces"}
    return [
        Claim(name + ms, *place, pick, compare.suffixed(ms), f"{statement} ({space})", kind)
        for ms, space in spaces.items()
    ]


def _subspaces(name: str, place: tuple[str, str], pick: Pick, keys: Sequence[str], statement: str) -> list[Claim]:
    """That subspaces raise something, method by method; braces in the statement stand for the method."""
    return [
        Claim(f"{name}-{key}", *place, pick, Above((f"{key}-ms",), (key,)), statement.format(spelt(key)))
        for key in keys
    ]


# Which columns a claim is about


def where(words: str, chosen: Callable[[str], bool]) -> Pick:
    """Pick the columns that pass a test."""
    return Pick(words, lambda columns: [column for column in columns if chosen(column)])


SEVERAL = where("input of several modalities", lambda c: "," in c)
JOINT = Pick("joint posterior of several modalities", lambda columns: sorted(SEVERAL.of(columns), key=len)[-1:])
SINGLE = where("single input", lambda c: "," not in c and given(c) != RANDOM)
CONDITIONAL = where("modality generated from others", lambda c: given(c) != RANDOM)
STREET = where("street numbers (S) generated from others", lambda c: c.endswith(" → S") and given(c) != RANDOM)
PRIOR = where("images generated at random", lambda c: c.startswith(f"{RANDOM} → "))
ANY = where("number", lambda c: c != RANDOM)  # in "coherence" that is a count in which more is not better
WHOLE = where("ln p(X)", lambda c: c == "X")

# The claims

_MVAE, _MMVAE, _MMJSD, _I30 = ("mvae",), ("mmvae",), ("mmjsd",), ("mmvae-i30",)
_BEFORE, _MIXTURES, _MIXTURES_MS = ("mvae", "mmvae"), ("mmvae", "mmjsd"), ("mmvae-ms", "mmjsd-ms")
_PROBE, _COHERENCE = ("Table 1, section 4.2", "linear_probe"), ("Table 2, section 4.2", "coherence")
_QUALITY, _NATS = ("Table 3, section 4.2", "quality"), ("Table 4, section 4.2", "log_likelihood")
_IS_PROBE, _IS_COHERENCE = ("Table 14, section C.2.4", "linear_probe"), ("Table 15, section C.2.4", "coherence")
_OF_CODES = where("probe of some subset", lambda column: "→" not in column)
_OF_SAMPLES = where("modality generated from another", lambda column: "→" in column)
_COMPARED = Above(("mmjsd-ms",), ("mvae-ms", "mmvae-ms"))
_IS_NATS = ("Table 16, section C.2.4", "log_likelihood")

# fmt: off
CLAIMS: tuple[Claim, ...] = (
    *_both("joint-probe", _PROBE, JOINT, Above(_MMJSD, _MMVAE),
           "A linear probe reads the class better off mmJSD's joint posterior than off MMVAE's"),
    *_both("several-probe", _PROBE, SEVERAL, Above(_MMJSD, _BEFORE),
           "Given several inputs, mmJSD's probe beats MVAE's and MMVAE's: mean over subsets of several"),
    *_both("gain-probe", _PROBE, SEVERAL, BeyondParts(_MMJSD),
           "Given several inputs, mmJSD's probe beats the mean of its single inputs': mean over subsets of several"),
    *_both("average-probe", _PROBE, SEVERAL, BeyondParts(_MMVAE),
           "Given several inputs, MMVAE's probe is the mean of its single inputs': mean over subsets of several",
           EQUAL),
    *_both("single-probe-mvae", _PROBE, SINGLE, Above(_MIXTURES, _MVAE),
           "MVAE's unimodal posteriors are the worst by the probe: mean over modalities"),
    *_both("single-probe-mmjsd", _PROBE, SINGLE, Above(_MMJSD, _BEFORE),
           "mmJSD's unimodal posteriors are not below MVAE's and MMVAE's by the probe: mean over modalities",
           NOT_BELOW),
    Claim("subspaces-probe", "Table 1, section C.2.5", "linear_probe", ANY, Above(("mmjsd-ms",), _MMJSD),
          "Subspaces leave mmJSD's probes as they are: mean over all subsets", EQUAL),
    *_both("several-coherence", _COHERENCE, SEVERAL, Above(_MMJSD, _BEFORE),
           "Given several inputs, mmJSD generates more coherently than MVAE and MMVAE: mean over paths"),
    *_both("gain-coherence", _COHERENCE, SEVERAL, BeyondParts(_MMJSD),
           "Given several inputs, mmJSD's coherence beats the mean of its single inputs': mean over paths"),
    *_both("average-coherence", _COHERENCE, SEVERAL, BeyondParts(_MMVAE),
           "Given several inputs, MMVAE's coherence is the mean of its single inputs': mean over paths", EQUAL),
    *_both("single-coherence-mvae", _COHERENCE, SINGLE, Above(_MIXTURES, _MVAE),
           "Given a single input, MVAE's coherence is the worst: mean over paths"),
    *_subspaces("subspaces-street", _COHERENCE, STREET, _MIXTURES,
                "Subspaces raise the coherence of {}'s street numbers: mean over paths into S"),
    *_subspaces("subspaces-quality", _QUALITY, CONDITIONAL, ("mmvae", "mmjsd", "mvae"),  # the text excepts none
                "Subspaces raise the quality of images that {} generates from other modalities: mean over paths"),
    *_subspaces("subspaces-random-quality", _QUALITY, PRIOR, _MIXTURES,
                "Subspaces raise the quality of {}'s random images: mean over modalities"),
    Claim("quality-mvae", "Table 3", "quality", ANY, Above(_MVAE, _MIXTURES),
          "In a shared space MVAE's images are the best: mean over conditional and random generation"),
    *_both("random-quality", _QUALITY, PRIOR, Above(_MMVAE, _MMJSD),
           "mmJSD's random images suffer from its dynamic prior: they are worse than MMVAE's, mean over modalities"),
    *_both("likelihood-mmjsd", _NATS, WHOLE, Above(_MMJSD, _MMVAE),
           "mmJSD's coherence is not traded off against ln p(X): it is close to MMVAE's, or above", NOT_BELOW),
    *_both("likelihood-mvae", _NATS, WHOLE, Above(_MVAE, _MIXTURES),
           "MVAE learns the statistics of the data well: its ln p(X) is the best"),
    Claim("importance-probe", *_IS_PROBE, ANY, Above(_MIXTURES, _I30),
          "Without importance samples MMVAE and mmJSD reach MMVAE (I=30) by the probe: mean over subsets", NOT_BELOW),
    Claim("importance-probe-ms", *_IS_PROBE, ANY, Above(_MIXTURES_MS, _I30),
          "With subspaces instead, MMVAE and mmJSD reach MMVAE (I=30) by the probe: mean over subsets", NOT_BELOW),
    Claim("importance-coherence", *_IS_COHERENCE, CONDITIONAL, Above(_MIXTURES, _I30),
          "Without importance samples MMVAE and mmJSD reach MMVAE (I=30) in coherence: mean over paths", NOT_BELOW),
    Claim("importance-coherence-ms", *_IS_COHERENCE, CONDITIONAL, Above(_MIXTURES_MS, _I30),
          "With subspaces instead, MMVAE and mmJSD reach MMVAE (I=30) in coherence: mean over paths", NOT_BELOW),
    Claim("importance-street", "Table 15", "coherence", STREET, Above(_I30, _MMVAE),
          "In a shared space importance samples raise the coherence of MMVAE's street numbers: mean over paths into S"),
    Claim("importance-likelihood", *_IS_NATS, WHOLE, Above(_I30, _MMVAE),
          "In a shared space importance samples raise MMVAE's ln p(X)"),
    *_subspaces("subspaces-likelihood", _IS_NATS, WHOLE, _MIXTURES, "Subspaces raise {}'s ln p(X)"),
    Claim("subspaces-as-importance", *_IS_NATS, WHOLE, Above(("mmvae-ms",), _I30),  # MMVAE itself cancels
          "Subspaces and importance samples have a similar effect on MMVAE's ln p(X)", EQUAL),
)
ATTRIBUTE_CLAIMS: tuple[Claim, ...] = (  # about bimodal CelebA
    Claim("attributes-probe", "Figure 8, section C.3", "attributes", _OF_CODES, _COMPARED,
          "For all subsets of modalities mmJSD's probe of attributes beats MVAE's and MMVAE's: mean over subsets"),
    Claim("attributes-joint-probe", "Table 5, section 4.3", "attributes", JOINT, _COMPARED,
          "A linear probe reads attributes better off mmJSD's joint posterior than off MVAE's and MMVAE's"),
    Claim("attributes-coherence", "Table 5 and Figure 9, section C.3", "attributes", _OF_SAMPLES, _COMPARED,
          "mmJSD generates attributes at least as well as MVAE and MMVAE: mean over paths", NOT_BELOW),
)
# fmt: on
