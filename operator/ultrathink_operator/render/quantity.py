"""Kubernetes quantities as numbers, as far as the API lets anyone write them."""

from fractions import Fraction

SUFFIXES = {
    "": Fraction(1),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
}


def parse(text: str | int) -> Fraction:
    """The number that a quantity means, exactly."""
    number = str(text).rstrip("".join({c for s in SUFFIXES for c in s}))
    return Fraction(number) * SUFFIXES[str(text)[len(number) :]]


def total(*texts: str | int) -> str:
    """The sum of CPU quantities, in thousandths."""
    return f"{-(-sum(parse(t) for t in texts) * 1000 // 1)}m"


def total_bytes(*texts: str | int) -> str:
    """The sum of memory quantities, in whole mebibytes."""
    return f"{-(-sum(parse(t) for t in texts) // 2**20)}Mi"
