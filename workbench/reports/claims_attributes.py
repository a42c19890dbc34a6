"""The paper's ordinal claims about bimodal CelebA: its Table 5 and Figures 8 and 9, section 4.3."""

from workbench.reports.claims_list import NOT_BELOW, Claim
from workbench.reports.contrasts import JOINT, Above, Pick

_SUBSETS = Pick("probe of some subset", lambda columns: [column for column in columns if "→" not in column])
_PATHS = Pick("modality generated from another", lambda columns: [column for column in columns if "→" in column])
_COMPARED = Above(("mmjsd-ms",), ("mvae-ms", "mmvae-ms"))

ATTRIBUTE_CLAIMS: tuple[Claim, ...] = (
    Claim(
        "attributes-probe", "Figure 8, section C.3", "attributes", _SUBSETS, _COMPARED,
        "For all subsets of modalities mmJSD's probe of attributes beats MVAE's and MMVAE's: mean over subsets",
    ),
    Claim(
        "attributes-joint-probe", "Table 5, section 4.3", "attributes", JOINT, _COMPARED,
        "A linear probe reads attributes better off mmJSD's joint posterior than off MVAE's and MMVAE's",
    ),
    Claim(
        "attributes-coherence", "Table 5 and Figure 9, section C.3", "attributes", _PATHS, _COMPARED,
        "mmJSD generates attributes at least as well as MVAE and MMVAE: mean over paths", NOT_BELOW,
    ),
)  # fmt: skip
