"""Phrases that read as translated, and what to write instead."""

import re
from collections.abc import Iterator

# Pattern: what to write. The list catches relapses; it grows with what readers find.
REPLACE = {
    r"short numbers|whole numbers?": "reduced precision, integers or int8",
    r"by lot": "at random",
    r"(?:the|an?|this|its) illness|\bat rest\b": "failure mode, unchanged",
    r"know(?:s|ing) nothing": "chance level",
    r"learn(?:s|ed|t)? by heart": "memorize",
    r"right answers|share of right": "accuracy, correct predictions",
    r"laziest program": "majority-class baseline",
    r"false alarms?": "false positive",
    r"\byes class": "positive class",
    r"\bsurest\b|too sure of": "most confident, overconfident",
    r"\bstrangers?\b": "out-of-distribution images",
    r"\bputs? out\b": "outputs",
    r"reading along": "capturing activations",
    r"speaks? for a class": "evidence for the class",
    r"cover and look": "occlusion sensitivity",
    r"memory order": "memory format",
    r"another shape|another number of": "shape mismatch, a different number of",
    r"altered copies": "augmented copies",
    r"the way around": "shortcut connection",
    r"weigh(?:s|ed|ing)? the loss": "weight the loss",
    r"made anew": "re-created",
    r"(?:images|files|photographs|pictures|examples) a (?:class|second)|a row a student": "per",
    r"(?:in|out)side of\b": "inside, outside",
    r"a GPU of NVIDIA|weights of torchvision": "an NVIDIA GPU, torchvision's weights",
    r"stands in (?:two|both) classes": "appears in two classes",
    r"that are none\b|(?-i:\bis none\b)": "that are not …",
    r"but for rounding": "up to floating-point error",
    r"natural logarithm\b": "natural logarithms (nats)",
    r"how far luck": "how much chance could explain",
    r"\btrainings\b": "training runs",
    r"\bdata sets?\b|index file": "dataset, label file",
    r"\bwhoever\b|of one's own\b": "a plain sentence",
    r"\bhonest (?:probabilit|line)": "calibrated",
    r"\b(?:colour|grey|centre|behaviour|favour|neighbour|labelled)\w*": "American spelling",
    r"\b(?:normal|optim|visual|general|initial|summar|memor)is(?:e|ed|es|ing|er)\b": "-ize",
}
PATTERNS = {re.compile(pattern, re.IGNORECASE): words for pattern, words in REPLACE.items()}


def foreign_phrases(text: str) -> Iterator[str]:
    """Yield a message for each phrase in a text that is on the list."""
    for pattern, words in PATTERNS.items():
        for match in pattern.finditer(text):
            yield f'"{match[0]}": write {words}'
