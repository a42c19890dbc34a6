"""Features of real images are kept: they are the same for every run that is evaluated on them.

A file of data/cache for each set of images and extractor. Its name is a digest of all pixels, all of the extractor's
weights and the type of number in which they meet, so what is read back is what would be worked out.
"""

import hashlib
from collections.abc import Callable, Iterable

import safetensors.torch
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor

from workbench.metrics.features import Features
from workbench.metrics.quality import FeatureSet, reference
from workbench.paths import cache_dir, replacing


def kept_reference(extractor: Features, batches: Callable[[], Iterable[Float[Tensor, "n C H W"]]]) -> FeatureSet:
    """Features of real images, `batches()` of them, from the cache where they are there, else `quality.reference`."""
    digest, device = _digest(extractor, batches())
    path = cache_dir() / f"features-{digest}.safetensors"
    if path.is_file():
        try:
            kept = FeatureSet(extractor)
            kept.add_features(safetensors.torch.load_file(path)["features"].to(device))
            return kept
        except (SafetensorError, KeyError):
            path.unlink()  # damaged: made again
    made = reference(extractor, batches())
    with replacing(path) as temporary:
        safetensors.torch.save_file({"features": made.features.cpu()}, temporary)
    return made


def _digest(extractor: Features, batches: Iterable[Tensor]) -> tuple[str, torch.device]:
    """Digest of all that features depend on, and where the images are."""
    digest, device = hashlib.sha256(extractor.name.encode()), torch.device("cpu")
    for name, weights in extractor.weights.items():
        digest.update(name.encode() + weights.cpu().contiguous().numpy().tobytes())
    for images in batches:
        device = images.device
        half = torch.is_autocast_enabled(device.type)
        digest.update(
            f"{device.type} {half} {list(images.shape)}".encode() + images.cpu().contiguous().numpy().tobytes()
        )
    return digest.hexdigest()[:16], device
