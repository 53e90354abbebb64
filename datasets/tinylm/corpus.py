"""The text of the suite: source code and documentation of the Python standard library, cut once and kept in corpus/.

python datasets/tinylm/corpus.py --out FOLDER      cuts it anew from the running Python; another version differs

The kept files are of CPython 3.11.7, so that runs are the same whichever Python makes them again. Every read checks
their SHA-256.
"""

import argparse
import hashlib
import importlib
import lzma
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "corpus"
# characters of each text; files are taken whole until the number is reached
SIZES = {"train": 3_000_000, "validation": 250_000, "headers": 150_000, "prose": 150_000}
SHA256 = {
    "train": "6826735cbdc7192618fb12efca9167218df96b71eb85a6261d26956d21984287",
    "validation": "6408972402578c5422903239b54957222deec8928d283d8db727ae9412350537",
    "headers": "dbe1e18a188a0da7f4fea47e195b7db3f007ca2bc447b8039e3e8de5318f84b8",
    "prose": "f4c143c75ff241612b322ff464da7aeb4ed8d0fc1a789a218748e8b9e1ec29e3",
}
# no tests, tables, copies of other projects, or code on its way out
LEFT_OUT = {"test", "tests", "site-packages", "encodings", "pydoc_data", "lib2to3", "distutils", "ensurepip", "idlelib"}
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))  # 96 characters; token i is ALPHABET[i]
BUILT = ("_sysconfigdata", "pyconfig")  # written when Python was built, so they tell of the machine
LARGEST = 150_000  # characters; longer files would make a text of a few authors


def encoded(text: str) -> np.ndarray:
    """Tokens of a text of the alphabet, uint8: 0 for a new line, else ASCII - 31."""
    codes = np.frombuffer(text.encode("ascii"), np.uint8)
    return np.where(codes == 10, 0, codes - 31).astype(np.uint8)


def decoded(tokens: np.ndarray) -> str:
    """The text of some tokens."""
    return "".join(ALPHABET[token] for token in tokens)


def read(split: str) -> str:
    """The kept text of a split; ValueError if it is not the one that the suite was made from."""
    text = lzma.decompress((HERE / f"{split}.txt.xz").read_bytes())
    if hashlib.sha256(text).hexdigest() != SHA256[split]:
        raise ValueError(f"corpus/{split}.txt.xz is not the text that this suite was made from")
    return text.decode("ascii")


def folded(text: str) -> str:
    """The text in the alphabet: tabs become spaces, any other character a question mark."""
    known = set(ALPHABET)
    return "".join(character if character in known else "?" for character in text.expandtabs(4))


def cut() -> dict[str, str]:
    """The four texts, from the running Python: train and validation share no file."""
    library = _shuffled(Path(sysconfig.get_path("stdlib")), "*.py")
    headers = _shuffled(Path(sysconfig.get_path("include")), "*.h")
    topics = importlib.import_module("pydoc_data.topics").topics
    prose = iter(folded(topics[name]) for name in sorted(topics, key=_drawn))
    sources = {"train": library, "validation": library, "headers": headers, "prose": prose}
    return {split: _joined(sources[split], size) for split, size in SIZES.items()}


def _shuffled(root: Path, pattern: str) -> Iterator[str]:
    """Texts of the files below a folder, in an order that depends on nothing but their names."""
    names = [file.relative_to(root) for file in root.rglob(pattern)]
    kept = [name for name in names if not LEFT_OUT & set(name.parts) and not name.name.startswith(BUILT)]
    for name in sorted(kept, key=lambda name: _drawn(name.as_posix())):
        text = folded((root / name).read_text(encoding="utf-8", errors="replace"))
        if text.startswith("#!"):  # may name the folder that this Python was installed in
            text = text[text.index("\n") + 1 :]
        if len(text) <= LARGEST:
            yield text


def _drawn(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _joined(texts: Iterator[str], size: int) -> str:
    """Whole texts, one after the other, until there are `size` characters."""
    taken = ""
    while len(taken) < size:
        taken += next(texts)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for split, text in cut().items():
        (out / f"{split}.txt.xz").write_bytes(lzma.compress(text.encode("ascii"), preset=9 | lzma.PRESET_EXTREME))
        print(f"{split}: {len(text)} characters, SHA-256 {hashlib.sha256(text.encode('ascii')).hexdigest()}")


if __name__ == "__main__":
    main()
