"""What the items of a data set are, in words: digits of one class each, or faces with any of forty attributes.

An explorer asks its subject for all that differs between the two: which items there are to choose from, what a judge's
logits say, and how many of the words that were asked for it finds. Kinds are classes 0 to 9, or attributes by phrase.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.data.celeba.attributes import PHRASES
from workbench.data.images import Labels

Kind = int | str
ANY = "any face"
MOST = 5  # attributes told of one item
SURE = 0.5  # probability from which a judge has found an attribute
# Attributes that show in a picture of 64x64, for the columns of a grid.
TELLING = (
    *("smiling", "eyeglasses", "wearing hat", "blond hair", "black hair", "bald", "bangs", "male", "heavy makeup"),
    *("goatee", "wavy hair", "young"),
)


class Digits:
    """Items of one class each, 0 to 9. `scale` is that of their pictures on a page; the rest is what captions say."""

    scale = 1.0
    in_column = "judged to be of its column's class in {} of {}"
    as_most = "judged as most of its column in {} of {}"
    each, another, nothing = "a test item of each class", "test item of the same class", "no class"

    def columns(self, labels: Labels) -> list[Kind]:
        """All classes."""
        return [*range(10)]

    def rows(self, labels: Labels, kind: Kind) -> Int[Tensor, "rows"]:
        """The items of a class."""
        return (labels == kind).nonzero().flatten()

    def asked(self, kind: Kind | Tensor) -> Bool[Tensor, "10"]:
        """The class alone."""
        return torch.arange(10) == kind

    words = asked  # of an item's label

    def of(self, kind: Kind) -> str:
        """Such as "class 7"."""
        return f"class {kind}"

    def opinions(self, logits: Float[Tensor, "n 10"]) -> Float[Tensor, "n 10"]:
        """Probabilities of the classes."""
        return torch.softmax(logits, -1)

    def found(self, opinions: Float[Tensor, "*n 10"]) -> Bool[Tensor, "*n 10"]:
        """The likeliest class."""
        return torch.nn.functional.one_hot(opinions.argmax(-1), 10).bool()

    def verdict(self, opinion: Float[Tensor, "10"]) -> str:
        """The likeliest class and its probability: "7 (98 %)"; and the next one, where it has a tenth or more."""
        best, second = opinion.topk(2).indices.tolist()
        said = f"{best} ({opinion[best]:.0%})"
        return said if opinion[second] < 0.1 else f"{said}, {second} ({opinion[second]:.0%})"

    def likeliest(self, opinion: Float[Tensor, "10"]) -> str:
        """The likeliest class."""
        return str(int(opinion.argmax()))

    def short(self, opinion: Float[Tensor, "10"], asked: Bool[Tensor, "10"]) -> str:
        """The likeliest class, and whether it is the one asked for."""
        best = int(opinion.argmax())
        return f"{best} {'✓' if asked[best] else '✗'}"

    def usual(self, found: Bool[Tensor, "n columns 10"]) -> Bool[Tensor, "columns 10"]:
        """For each column the class that most items are of."""
        most = found.int().argmax(-1).mode(0).values
        return torch.nn.functional.one_hot(most, 10).bool()

    def together(self, found: Bool[Tensor, "M n 10"]) -> str:
        """In how many draws all modalities are of one class."""
        return f"all modalities agree in {int(found.all(0).any(-1).sum())} of {found.shape[1]}"

    def again(self, hits: int, asked: int, found: int) -> str:
        """How often the input's class is found."""
        return f"agrees with the input's class in {hits} of {asked}"

    def name(self, label: Tensor) -> str:
        """Such as "digit 7"."""
        return f"digit {int(label)}"


class Faces:
    """Faces with any of forty attributes."""

    scale = 1.5
    in_column = "judged to have its column's attribute in {} of {}"
    as_most = "of the attributes that most of a column have, {} of {} are found"
    each, another, nothing = "a test face for each attribute", "test face of the same kind", "no face"

    def kinds(self) -> list[Kind]:
        """Any face, or those with an attribute."""
        return [ANY, *PHRASES]

    def columns(self, labels: Labels) -> list[Kind]:
        """The first ten of TELLING that some face has."""
        return [kind for kind in TELLING if len(self.rows(labels, kind))][:10]

    def rows(self, labels: Labels, kind: Kind) -> Int[Tensor, "rows"]:
        """The faces with an attribute, or all of them."""
        return torch.arange(len(labels)) if kind == ANY else labels[:, PHRASES.index(kind)].nonzero().flatten()

    def asked(self, kind: Kind) -> Bool[Tensor, "40"]:
        """The attribute alone."""
        return torch.tensor([phrase == kind for phrase in PHRASES])

    def words(self, label: Tensor) -> Bool[Tensor, "40"]:
        """All attributes of a face."""
        return label

    def of(self, kind: Kind) -> str:
        """Such as "face with 'smiling'"."""
        return f"face with {kind!r}"

    def opinions(self, logits: Float[Tensor, "n 40"]) -> Float[Tensor, "n 40"]:
        """The probability of each attribute."""
        return torch.sigmoid(logits)

    def found(self, opinions: Float[Tensor, "*n 40"]) -> Bool[Tensor, "*n 40"]:
        """The attributes that are as likely as not."""
        return opinions >= SURE

    def verdict(self, opinion: Float[Tensor, "40"]) -> str:
        """The attributes that are found and their probabilities, most certain first, at most five."""
        sure = [k for k in opinion.argsort(descending=True).tolist() if opinion[k] >= SURE]
        surest = ", ".join(f"{PHRASES[k]} ({opinion[k]:.0%})" for k in sure[:MOST])
        return f"{surest} and {len(sure) - MOST} more" if len(sure) > MOST else surest or "no attribute"

    likeliest = verdict

    def short(self, opinion: Float[Tensor, "40"], asked: Bool[Tensor, "40"]) -> str:
        """Whether the attribute asked for is found; of several, how many of them are."""
        if asked.sum() == 1:
            chance = float(opinion[asked].item())
            return f"{chance:.0%} {'✓' if chance >= SURE else '✗'}"
        return f"{int((self.found(opinion) & asked).sum())} of {int(asked.sum())}"

    def usual(self, found: Bool[Tensor, "n columns 40"]) -> Bool[Tensor, "columns 40"]:
        """For each column the attributes that more than half of its items have."""
        return found.float().mean(0) > 0.5

    def together(self, found: Bool[Tensor, "M n 40"]) -> str:
        """How many of the attributes that are found in any modality are found in all."""
        return f"of {int(found.any(0).sum())} attributes found in any modality, {int(found.all(0).sum())} are in all"

    def again(self, hits: int, asked: int, found: int) -> str:
        """How many of the face's attributes are found, and how many others."""
        return f"{hits} of {asked} attributes of the face are found, and {found - hits} others"

    def name(self, label: Tensor) -> str:
        """Such as "face"; its attributes are its description."""
        return "face"


def subject_by(words: int) -> Digits | Faces:
    """Tell what items are that a judge knows so many words for."""
    return Faces() if words == len(PHRASES) else Digits()


def phrases(chosen: Bool[Tensor, "40"]) -> list[str]:
    """List the attributes that are chosen."""
    return [PHRASES[k] for k in chosen.nonzero().flatten().tolist()]
