"""Where the decoders of tables begin: at the means of the columns, which no code has to tell them.

Yes or no that is rarely yes, and counts, would else begin at a half and at one, and a short training ends on the way.
Standardised measurements begin at their means by themselves.
"""

import torch

from workbench.data.dataset import MultimodalDataset
from workbench.likelihoods import Bernoulli, NegativeBinomial
from workbench.model import MultimodalVAE
from workbench.networks.general import VectorDecoder
from workbench.training.validation import MOST, some_of


@torch.no_grad()
def begin_at_means(model: MultimodalVAE, train: MultimodalDataset, seed: int) -> None:
    """Set the last biases of default decoders of yes or no and of counts, by 10 MOST training items at most.

    Half an item of both answers, or half a count, is added: what was never seen is rare, not impossible.
    """
    kinds = [type(modality.likelihood) for modality in model.modalities]
    chosen = [m for m, decoder in enumerate(model.decoders) if isinstance(decoder, VectorDecoder)]
    if not (chosen := [m for m in chosen if kinds[m] in (Bernoulli, NegativeBinomial)]):
        return
    seen = some_of(train, 10 * MOST, seed)
    for m in chosen:
        x = seen.values[m][seen.present[m]]
        total, known = x.nansum(0) + 0.5, (~x.isnan()).sum(0)
        mean = total / (known + 1)
        model.decoders[m].layers[-1].bias.copy_(mean.logit() if kinds[m] is Bernoulli else mean.log())
