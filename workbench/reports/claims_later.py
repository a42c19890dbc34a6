"""What later papers say about the methods after mmJSD: their ordinal claims, and numbers beside which ours are laid.

No later paper that could be read prints the tables of 2020 again. Mancisidor et al. (ICML 2025) ran six of our methods
on MNIST-SVHN-Text, and their means over subsets are here. How far each source reached is a part of where a claim
stands: in the text, off a figure, in the abstract alone, or in somebody's note on the paper. Papers measure the quality
of images by the Fréchet distance; here it is the average precision of `quality`, as in mmJSD's own claims.
"""

from collections.abc import Iterator, Sequence
from statistics import fmean

from workbench.reports import layout
from workbench.reports.ablations_claims import AGREEING, COHERENT, GOOD, GOOD_RANDOM, PROBE, STYLE
from workbench.reports.claims_list import EQUAL, JOINT, NOT_BELOW, SEVERAL, SINGLE, Claim, where
from workbench.reports.contrasts import Above, BeyondParts
from workbench.reports.estimates import cells_of, entrants_of
from workbench.reports.results import over_seeds
from workbench.runs.naming import spelt
from workbench.runs.run import Run

# Mancisidor et al. (2025), "Aggregation of Dependent Expert Distributions": Table 1, means of three runs at each
# method's best beta, then the probes of Figure 8, read off the plot (+-0.01). Without styles but for MMVAE+; MMVAE is
# the importance-weighted one of its authors, mmJSD that of MoPoE's code, which draws 1 / (M + 1) of its codes from p(c)
TABLES = ("coherence", "random_coherence", "linear_probe")
COLUMNS = ("conditional coherence", "random coherence", "probe of 1", "probe of 2", "probe of 3")
PUBLISHED: dict[str, tuple[float, ...]] = {
    "mvae": (0.38, 0.18, 0.71, 0.877, 0.95),
    "mmvae": (0.72, 0.34, 0.92, 0.917, 0.91),
    "mmjsd": (0.74, 0.02, 0.937, 0.933, 0.94),
    "mopoe": (0.79, 0.46, 0.92, 0.963, 0.973),
    "mvtcae": (0.66, 0.15, 0.877, 0.97, 0.97),
    "mmvae_plus-i1-ms": (0.53, 0.20, 0.913, 0.90, 0.90),
}


def beside(runs: Sequence[Run]) -> layout.Rows:
    """Lay our means over seeds beside those of `PUBLISHED`: rows for `layout.markdown`, the first the heading."""
    rows = [["method", *(f"{column}, ours (theirs)" for column in COLUMNS)]]
    entrants = entrants_of(runs)
    for key, theirs in PUBLISHED.items():
        found = {name: cells_of(name, entrants.get(key, ())) for name in TABLES}
        ours = [_ours(found, column) for column in COLUMNS]
        rows.append([spelt(key), *(f"{x} ({y:.2f})" for x, y in zip(ours, theirs, strict=True))])
    return rows


def _ours(found: dict[str, dict], column: str) -> str:
    """The mean over seeds of what a column of `PUBLISHED` is about; a dash without runs."""
    probe = "linear_probe", where(column, lambda subset: f"probe of {subset.count(',') + 1}" == column)
    name, chosen = {"conditional coherence": COHERENT, "random coherence": AGREEING}.get(column, probe)
    seeds = [fmean(row[path].value for path in chosen.of([*row])) for row in found[name].values()]
    return f"{over_seeds(seeds).mean:.2f}" if seeds else "–"


# The claims

_PLUS = "mmvae_plus-i1-ms"
_CODE, _CODE_FIGURE = "Mancisidor et al. 2025, Table 1", "Mancisidor et al. 2025, Figure 8"
_TOTAL = "Hwang et al. 2021, Figure 2 (PolyMNIST)"
_MMVM = "Sutter et al. 2024, section 5.1 and Figure 2 (PolyMNIST)"
_PALUMBO, _CRMVAE = "Palumbo et al. 2023, introduction", "Rn8u4MYgeNJ (ICLR 2023 submission), abstract"
_HELLINGER, _HOLDER = "Vo and Valera 2026a, abstract", "Vo et al. 2026b, by a note on it"
_BARYCENTER, _MASKED = "Qiu et al. 2025, abstract", "Hirt et al. 2024, by a review of it"
_MIXTURES, _OLDER = ("mmvae", "mmjsd"), ("mvae", "mmvae", "mopoe", "mvtcae")


def _gains(key: str, where: str) -> Iterator[Claim]:
    """That a method learns from further modalities: probe and coherence."""
    for name, table in (("probe", "linear_probe"), ("coherence", "coherence")):
        words = f"Given several inputs, {spelt(key)}'s {name} beats the mean of its single inputs': mean over {{}}"
        over = "subsets of several" if name == "probe" else "paths"
        yield Claim(f"gain-{name}-{key}", where, table, SEVERAL, BeyondParts((key,)), words.format(over))


def _spaces(key: str) -> Iterator[Claim]:
    """That a mixture pays with coherence for the quality that modality-specific subspaces bring."""
    yield Claim(f"private-coherence-{key}", _PALUMBO, *COHERENT, Above((key,), (f"{key}-ms",)),
                f"Modality-specific subspaces lower {spelt(key)}'s conditional coherence: mean over paths")  # fmt: skip
    yield Claim(f"private-quality-{key}", _PALUMBO, *GOOD, Above((f"{key}-ms",), (key,)),
                f"Modality-specific subspaces raise the quality of {spelt(key)}'s images: mean over paths")  # fmt: skip


# fmt: off
CLAIMS: tuple[Claim, ...] = (
    Claim("mopoe-leads", _CODE, *COHERENT, Above(("mopoe",), ("mvae", "mmvae", "mmjsd", "mvtcae")),
          "MoPoE generates most coherently of MVAE, MMVAE, mmJSD, MVTCAE and itself: mean over paths"),
    Claim("mixtures-coherence", _CODE, *COHERENT, Above(_MIXTURES, ("mvtcae",)),
          "MMVAE and mmJSD generate more coherently than MVTCAE: mean over paths"),
    Claim("mvae-last", _CODE, *COHERENT, Above(("mmvae", "mmjsd", "mopoe", "mvtcae"), ("mvae",)),
          "MVAE's conditional coherence is the lowest: mean over paths"),
    Claim("plus-pays", _CODE, *COHERENT, Above(("mmvae",), (_PLUS,)),
          "MMVAE+ trades coherence for quality: MMVAE generates more coherently, mean over paths"),
    Claim("mmjsd-random", _CODE, *AGREEING, Above(_OLDER, ("mmjsd",)),
          "mmJSD's random items agree least of MVAE, MMVAE, MoPoE, MVTCAE and itself"),
    Claim("mopoe-random", _CODE, *AGREEING, Above(("mopoe",), ("mmvae", "mvae", "mvtcae")),
          "MoPoE's random items agree most of MVAE, MMVAE, MVTCAE and itself"),
    Claim("products-random", _CODE, *AGREEING, Above(("mmvae",), ("mvae", "mvtcae")),
          "MMVAE's random items agree more than MVAE's and MVTCAE's"),
    Claim("mopoe-quality", _CODE, *GOOD, Above(("mopoe",), _MIXTURES),
          "MoPoE's conditional images are better than MMVAE's and mmJSD's: mean over paths"),
    Claim("mmjsd-random-quality", _CODE, *GOOD_RANDOM, Above(_OLDER, ("mmjsd",)),
          "mmJSD's random images are the worst of MVAE, MMVAE, MoPoE, MVTCAE and itself: mean over modalities"),
    Claim("plus-quality", _CODE, *GOOD, Above((_PLUS,), ("mmvae",)),
          "MMVAE+'s conditional images are better than MMVAE's: mean over paths"),
    Claim("single-mmjsd", _CODE_FIGURE, "linear_probe", SINGLE, Above(("mmjsd",), ("mmvae", "mopoe", "mvtcae", "mvae")),
          "From one modality the probe reads the class best off mmJSD: mean over modalities"),
    Claim("joint-products", _CODE_FIGURE, "linear_probe", JOINT, Above(("mopoe", "mvtcae"), _MIXTURES),
          "Off the joint posterior the probe reads the class better of MoPoE and MVTCAE than of MMVAE and mmJSD"),
    Claim("flat-plus", "Mancisidor et al. 2025, section D.3", "linear_probe", SEVERAL, BeyondParts((_PLUS,)),
          "Given several inputs, MMVAE+'s probe is the mean of its single inputs': mean over subsets", EQUAL),
    *_gains("mvae", _TOTAL), *_gains("mvtcae", _TOTAL), *_gains("mopoe", _TOTAL),
    Claim("several-mvtcae", _TOTAL, "coherence", SEVERAL, Above(("mvtcae",), ("mopoe", "mmvae", "mvae")),
          "Given several inputs, MVTCAE generates more coherently than MoPoE, MMVAE and MVAE: mean over paths"),
    Claim("single-mvtcae", _TOTAL, "coherence", SINGLE, Above(("mmvae", "mmjsd", "mopoe"), ("mvtcae",)),
          "Given a single input, MVTCAE generates less coherently than MMVAE, mmJSD and MoPoE: mean over paths"),
    Claim("subsampling-quality", "Daunhawer et al. 2022, introduction", *GOOD,
          Above(("mvae", "mvtcae"), ("mopoe", "mmvae")),
          "Sub-sampling costs quality: MVAE's and MVTCAE's conditional images are better than MoPoE's and MMVAE's, "
          "mean over paths"),
    Claim("mopoe-unites", "Sutter et al. 2021, abstract", *COHERENT, Above(("mopoe",), ("mmvae",)),
          "MoPoE's conditional coherence is not below MMVAE's: mean over paths", NOT_BELOW),
    Claim("mmvm-probe", _MMVM, "linear_probe", SINGLE, Above(("mmvm",), ("mvae", "mmvae", "mopoe")),
          "MMVM's unimodal posteriors tell the class better than MVAE's, MMVAE's and MoPoE's: mean over modalities"),
    Claim("mmvm-coherence", _MMVM, "coherence", SINGLE, Above(("mmvm",), ("mvae", "mmvae", "mopoe")),
          "Given a single input, MMVM is the most coherent, though no decoder met another's code: mean over paths"),
    Claim("mmvm-quality", "Sutter et al. 2024, Figure 8 (PolyMNIST)", *GOOD,
          Above(("mmvm",), ("mvae", "mmvae", "mopoe")),
          "MMVM's conditional images are better than MVAE's, MMVAE's and MoPoE's: mean over paths"),
    Claim("mmvm-random", "Sutter et al. 2024, section 3", *AGREEING, Above(_OLDER, ("mmvm",)),
          "MMVM has no prior to generate from: its random items agree least"),
    *_spaces("mmvae"), *_spaces("mmjsd"), *_spaces("mopoe"),
    Claim("plus-styles", _PALUMBO, *STYLE, Above(("mmvae-ms",), (_PLUS,)),
          "MMVAE+'s styles tell less of the class than those of MMVAE (MS): mean over modalities"),
    Claim("plus-coherence", _PALUMBO, *COHERENT, Above((_PLUS,), ("mmvae-ms",)),
          "With subspaces, MMVAE+ generates more coherently than MMVAE: mean over paths"),
    Claim("crmvae-coherence", _CRMVAE, "coherence", SINGLE, Above(("crmvae",), ("mvtcae",)),
          "Given a single input, reconstructions from it make CRMVAE more coherent than MVTCAE: mean over paths"),
    Claim("crmvae-quality", _CRMVAE, *GOOD, Above(("crmvae",), ("mmvae", "mopoe")),
          "CRMVAE's conditional images are better than MMVAE's and MoPoE's: mean over paths"),
    *_gains("hellinger", _HELLINGER),
    Claim("hellinger-coherence", _HELLINGER, *COHERENT, Above(("hellinger",), ("mvae",)),
          "Hellinger generates more coherently than the product, MVAE: mean over paths"),
    Claim("hellinger-quality", _HELLINGER, *GOOD, Above(("hellinger",), ("mmvae", "mopoe")),
          "Hellinger's conditional images are better than MMVAE's and MoPoE's: mean over paths"),
    Claim("hellinger-plus", "Vo et al. 2026b, abstract", *COHERENT, Above(("hellinger",), (_PLUS,)),
          "Hellinger, in a shared space, generates more coherently than MMVAE+: mean over paths"),
    Claim("hellinger-holder", _HOLDER, *COHERENT, Above(("hellinger",), ("holder",)),
          "The moments generate more coherently than the exact pool, Hölder: mean over paths"),
    Claim("hellinger-private", _HOLDER, *COHERENT, Above(("hellinger",), ("hellinger-ms",)),
          "Hellinger loses conditional coherence by modality-specific subspaces: mean over paths"),
    Claim("barycenter-probe", _BARYCENTER, *PROBE, Above(("wasserstein",), ("mvae", "mmvae")),
          "The probe reads the class better off the barycenter than off MVAE's and MMVAE's: mean over subsets"),
    Claim("barycenter-coherence", _BARYCENTER, *COHERENT, Above(("wasserstein",), ("mvae", "mmvae")),
          "The Wasserstein barycenter generates more coherently than MVAE and MMVAE: mean over paths"),
    Claim("mixed-barycenters", "Qiu et al. 2025, by a note on it", *COHERENT,
          Above(("mixture_of_wasserstein",), ("wasserstein", "mopoe")),
          "The mixture of barycenters generates more coherently than the barycenter and MoPoE: mean over paths"),
    Claim("masked-private", _MASKED, *COHERENT, Above(("masked_bound",), ("masked_bound-ms",)),
          "Modality-specific subspaces lower the masked bound's conditional coherence: mean over paths"),
    Claim("dmvae-styles", "Zhang et al. 2026, by a note on it", *STYLE, Above((_PLUS,), ("dmvae-ms",)),
          "DMVAE's styles tell less of the class than MMVAE+'s: mean over modalities"),
)
# fmt: on
