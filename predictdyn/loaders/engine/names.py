"""What a name says: the family of a run and the number of its parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

# Parts of a name that set a near-copy apart from its original. Rather too many than too few: two runs of one family
# are only ever held out together, while two copies in different families would let a forecaster look up the answer.
VARIANTS = (
    r"standard", r"dedup(?:ed)?", r"bf16", r"fp16", r"fp32",
    r"v\d+(?:\.\d+)*",
    r"(?:(?:data|weight)[-_])?seed[-_]?\d+", r"s\d+",
    r"\d*\.?\d+mtokbs",
    r"baseline", r"long", r"interven(?:tion|e)", r"resumed?\d*", r"fork\d*",
)  # fmt: skip
_VARIANT = re.compile(rf"(?:^|[-_ ])(?:{'|'.join(VARIANTS)})(?=$|[-_ ])", re.IGNORECASE)
# A number of digits with a dot or an exponent is a setting, and so is one behind any other word.
_COUNTER = re.compile(
    r"(?:^|(?<=[-_/ ]))(?:(?:run|version|trial|exp(?:eriment)?|job|try|rep(?:eat)?|fold|out(?:put)?|no)?[-_ #]?\d+|"
    r"(?=[0-9a-f]*\d)[0-9a-f]{6,})(?=$|[-_/ ])",
    re.IGNORECASE,
)
_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([kmbt])(?![a-z0-9])", re.IGNORECASE)
_POWER = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def family_of(name: str) -> str:
    """The name without the parts that mark a variant, see `VARIANTS`, and without the number of a run in its log (#2).

    >>> family_of("pythia-2.8b-deduped"), family_of("intervention-pythia-v1.1-70m"), family_of("mlp_s3")
    ('pythia-2.8b', 'pythia-70m', 'mlp')
    """
    name = re.sub(r"#\d+$", "", name)
    return _VARIANT.sub("", name).strip("-_ ") or name


def without_counter(name: str) -> str:
    """The name without what counts runs or stamps them: whole numbers by themselves or behind such a word, and hashes.

    >>> without_counter("lightning_logs/version_3"), without_counter("sft-14m-lr0.001"), without_counter("run07")
    ('lightning_logs', 'sft-14m-lr0.001', '')
    """
    return _COUNTER.sub("", name).strip("-_ /")


def families_of(names: Iterable[str]) -> dict[str, str]:
    """The family of every name; a name that is nothing but a size joins the one family that ends with that size.

    >>> families_of(["pythia-1.3b", "intervention-1.3b", "1.3B"])["1.3B"]
    'pythia-1.3b'
    """
    family = {name: family_of(name) for name in names}
    bare = {name for name, stem in family.items() if _SIZE.fullmatch(stem)}
    full = {stem for name, stem in family.items() if name not in bare}
    for name in bare:
        size = family[name].lower()
        ends = [stem for stem in full if re.search(rf"(?:^|[-_ ]){re.escape(size)}$", stem.lower())]
        family[name] = ends[0] if len(ends) == 1 else size
    return family


def families_like(pattern: str, names: Iterable[str]) -> dict[str, str]:
    """As `families_by`, where a pattern may also be such as ``"{family}_s*"``, with * for whatever else varies.

    >>> families_like("{family}_s*", ["mlp_s1", "mlp_s2"])
    {'mlp_s1': 'mlp', 'mlp_s2': 'mlp'}
    """
    if "{family}" not in pattern:
        return families_by(pattern, names)
    parts = re.split(r"(\{family\}|\*)", pattern)
    found = {"{family}": "(.+?)", "*": ".*"}
    return families_by("^" + "".join(found.get(part, re.escape(part)) for part in parts) + "$", names)


def families_by(pattern: str, names: Iterable[str]) -> dict[str, str]:
    """The family of every name: what the one group of a regular expression finds in it; ValueError where it does not.

    >>> families_by("^([a-z]+)", ["mlp_1", "mlp_2"])
    {'mlp_1': 'mlp', 'mlp_2': 'mlp'}
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"family={pattern!r} is not a regular expression ({error})") from None
    if regex.groups != 1:
        raise ValueError(f"family={pattern!r} must be a regular expression with one group, found {regex.groups}")
    family = {}
    for name in names:
        found = regex.search(name)
        if found is None or not found[1]:
            raise ValueError(f"family={pattern!r} finds nothing in the run name {name!r}")
        family[name] = found[1]
    return family


def params_of(name: str) -> float:
    """The number of parameters a name states, NaN where it states none.

    >>> params_of("pythia-v1.1-1.4b-deduped"), params_of("pythia-1b-0.5MtokBS")
    (1400000000.0, 1000000000.0)
    """
    sizes = _SIZE.findall(name)
    # Through text: 1.4 * 1e9 is not 1.4e9.
    return float(f"{sizes[0][0]}e{round(np.log10(_POWER[sizes[0][1].lower()]))}") if len(sizes) == 1 else float("nan")
