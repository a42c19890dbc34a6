"""What random generation draws its codes from: the prior, or what the codes of training items are really like.

A decoder was trained on codes of the aggregate posterior q(z), the mean of the posteriors of all training items. That
is not p(z) (`metrics.latent.marginal_kl`), and of what p(z) gives judges agree on little. A density that is fitted to
the codes once a model is trained costs seconds (Ghosh et al. 2020) and leaves the model as it is:

    prior      p(z), as the model has it
    exemplar   a training item, and a draw from its posteriors: q(z), at the training items alone
    gmm        a mixture of Gaussians of the contents, and one of each modality's styles
    flow       the same mixtures, bent by coupling layers (Dinh et al. 2017)

A sampler gives codes, the model decodes them: `model.generate(*samplers_of(run)["gmm"].draw(100))`.
"""

from workbench.metrics.samplers.draws import Codes, Sampler, at_temperature
from workbench.metrics.samplers.fitted import SAMPLERS, Samplers, fit_samplers, samplers_of

__all__ = ["SAMPLERS", "Codes", "Sampler", "Samplers", "at_temperature", "fit_samplers", "samplers_of"]
