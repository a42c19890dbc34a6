"""What somebody does with an exported model who has torch and numpy, but not the package: a script of the tests.

    python exported_user.py FOLDER ARRAYS.json RESULTS.npz     (several such triples)

It makes the encoders' inputs from raw arrays by what model.json says, and encodes and decodes them one at a time and
five at a time.
"""

import json
import sys
from itertools import combinations
from pathlib import Path

import numpy as np


def values(entry, raw):
    """Raw arrays, as lists of what JSON can hold, as an exported encoder takes them."""
    told, encoding = entry["encoder"]["input"], entry["encoding"]
    if encoding["kind"] == "image":
        return images(encoding, raw)
    if encoding["kind"] == "text":
        return np.array([characters(entry, string) for string in raw])
    if encoding["kind"] == "categories":
        tokens = [[places(column).get(x, -1) for column, x in zip(encoding["levels"], r, strict=True)] for r in raw]
        return np.array(tokens)
    return np.array([[np.nan if x is None else x for x in row] for row in raw], dtype=told["dtype"])


def places(levels):
    return {level: place for place, level in enumerate(levels)}


def characters(entry, string):
    if string is None:
        return [-1] * entry["encoding"]["length"]
    filled = string.ljust(entry["encoding"]["length"], entry["encoding"]["fill"])
    return [entry["alphabet"].index(character) for character in filled]


def images(encoding, raw):
    there = next(np.array(x) for x in raw if x is not None)
    pixels = np.stack([np.full(there.shape, np.nan) if x is None else np.array(x) for x in raw])
    pixels = pixels / 255 if encoding["dtype"] == "uint8" else pixels
    return {
        "HW": lambda: pixels[:, None],
        "CHW": lambda: pixels,
        "HWC": lambda: np.moveaxis(pixels, -1, 1),
    }[encoding["layout"]]().astype(np.float32)


def fused(fusion, mean, logvar, present, prior_weight):
    """Components (weight [n], mean, variance [n, d]) of the posterior of what is given, as model.json says."""
    count, precisions = len(mean), np.exp(-logvar)

    def product(weights, prior):
        precision = prior[:, None] + (weights[..., None] * precisions).sum(0)
        return (weights[..., None] * precisions * mean).sum(0) / precision, 1 / precision

    def averaged(weights):
        weights = weights[..., None] / np.maximum(weights.sum(0), 1)[:, None]
        return (weights * mean).sum(0), (weights * np.exp(logvar / 2)).sum(0) ** 2

    def squared():
        found = []
        for i in range(count):
            for j in range(i, count):
                both = np.array([mean[i], mean[j]]), np.exp([logvar[i], logvar[j]])
                wide = both[1].mean(0)  # of the variances, in the pair's Bhattacharyya coefficient
                exponent = (both[0][0] - both[0][1]) ** 2 / (8 * wide) + np.log(wide / np.sqrt(both[1].prod(0))) / 2
                weight = (1 + (i != j)) * there[i] * there[j] * np.exp(-exponent.sum(-1))
                halves = np.zeros_like(there)
                halves[i] += 0.5
                halves[j] += 0.5
                found.append((weight, *product(halves, np.zeros(present.shape[1]))))
        total = sum(weight for weight, *_ in found)
        return [(weight / total, *rest) for weight, *rest in found]

    there, one = present.astype(float), np.ones(present.shape[1])
    if fusion == "mixture":
        return [(there[m] / there.sum(0), mean[m], np.exp(logvar[m])) for m in range(count)]
    if fusion in ("mixture_of_products", "mixture_of_wasserstein"):
        found = []
        for size in range(1, count + 1):
            for subset in combinations(range(count), size):
                inside = np.isin(np.arange(count), subset)[:, None]
                whole = (present | ~inside).all(0).astype(float)
                inner = product(there * inside, 1 - whole) if "products" in fusion else averaged(there * inside)
                found.append((whole / (2 ** there.sum(0) - 1), *inner))
        return found
    if fusion == "wasserstein":
        return [(one, *averaged(there))]
    if fusion in ("holder", "hellinger"):
        parts = squared()
        if fusion == "holder":
            return parts
        centre = sum(weight[:, None] * mu for weight, mu, _ in parts)
        return [(one, centre, sum(w[:, None] * (v + (mu - centre) ** 2) for w, mu, v in parts))]
    if fusion == "dynamic_prior":
        weights = there * (1 - prior_weight) / count
        total = weights.sum(0) + prior_weight
        return [(one, *product(weights / total, prior_weight / total))]
    return [(one, *product(there, {"product": one, "product_alone": 0 * one}[fusion]))]


def main(folder, arrays, results):
    import torch

    told, found = json.loads((folder / "model.json").read_text()), {}
    generator = np.random.default_rng(0)
    for entry in told["modalities"]:
        encode, decode = (torch.export.load(folder / entry[name]["file"]).module() for name in ("encoder", "decoder"))
        x = torch.from_numpy(values(entry, json.loads(arrays.read_text())[entry["name"]]))
        assert str(x.dtype) == f"torch.{entry['encoder']['input']['dtype']}"
        assert [*x.shape[1:]] == entry["encoder"]["input"]["shape"][1:]
        code = torch.from_numpy(generator.normal(size=(len(x), told["style_dim"] + told["content_dim"]))).float()
        for size in (1, 5):
            encoded = [encode(part) for part in x.split(size)]
            columns = [torch.cat(parts) for parts in zip(*encoded, strict=True)]
            for name, column in zip(entry["encoder"]["outputs"], columns, strict=True):
                found[f"{entry['name']} {name} {size}"] = column.detach().numpy()
            decoded = torch.cat([decode(part) for part in code.split(size)])
            found[f"{entry['name']} decoded {size}"] = decoded.detach().numpy()
        found[f"{entry['name']} code"] = code.numpy()
    np.savez(results, **found)


if __name__ == "__main__":
    sys.modules["workbench"] = None  # whoever imports it now fails
    for triple in zip(*[iter(map(Path, sys.argv[1:]))] * 3, strict=True):
        main(*triple)
