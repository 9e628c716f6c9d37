"""Characters that look like those of the language, and components as other tools write them."""

import re
import unicodedata

_SIGNS = {
    "->": "\u2192\u27f6\u21d2\u27f9\u279c\u279e\u2794\u21a6\u2799\u25b8\u25b6",
    "~>": "\u21dd\u2933\u219d\u27ff",
    ">=": "\u2265\u2a7e\u2267",
    "!=": "\u2260",
    "<=": "\u2264\u2a7d\u2266",
    "-": "\u2212\u2013\u2014\u2010\u2011\u2012\u2015\u2043\ufe58",
    "~": "\u223c\u02dc\u301c\u223b",
    ">": "\u203a\u2329\u27e9",
    '"': "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\u300c\u300d\u2018\u2019\u201a\u2032",
    "*": "\u00d7\u2217\u22c5\u00b7\u2022",
    "%": "\u066a\u2030",
    ",": "\u060c\u3001\u201a",
    "..": "\u2026\u2025",
}
# Letters of the Greek and Cyrillic alphabets that are drawn as Latin ones.
_LETTERS = {
    "A": "\u0391\u0410",
    "B": "\u0392\u0412",
    "C": "\u0421\u03f9",
    "E": "\u0395\u0415",
    "H": "\u0397\u041d",
    "I": "\u0399\u0406",
    "J": "\u0408",
    "K": "\u039a\u041a",
    "M": "\u039c\u041c",
    "N": "\u039d",
    "O": "\u039f\u041e",
    "P": "\u03a1\u0420",
    "S": "\u0405",
    "T": "\u03a4\u0422",
    "X": "\u03a7\u0425",
    "Y": "\u03a5\u0423",
    "Z": "\u0396",
    "a": "\u0430",
    "c": "\u0441\u03f2",
    "e": "\u0435",
    "i": "\u0456",
    "j": "\u0458",
    "o": "\u043e\u03bf",
    "p": "\u0440\u03c1",
    "s": "\u0455",
    "x": "\u0445\u03c7",
    "y": "\u0443",
}
_PLAIN = {char: plain for plain, chars in (_SIGNS | _LETTERS).items() for char in chars}
# A dash or tilde that makes an arrow together with what follows it.
_ARROWS = re.compile(r"([-~])[-~]*>")

_VALID = re.compile(r"[Ll]\d+\.([Hh]\d+|[Mm][Ll][Pp](\[\d+\])?)", re.ASCII)
_COMPONENTS = tuple(
    (re.compile(pattern, re.ASCII), hint)
    for pattern, hint in (
        (r"[Ll](\d+)\.?[Mm](?:[Ll][Pp])?\.(\d+)", r"a neuron is written `L\1.MLP[\2]`"),
        (r"[Ll](\d+)\.[Nn](\d+)", r"a neuron is written `L\1.MLP[\2]`"),
        (r"[Ll]\d+(?:\.[Mm][Ll][Pp])?\[.*", "a neuron is written `L5.MLP[123]`, and stands alone"),
        (r"[Ll]\d+\.[Hh]\d+(?:-|\.\.|:|/).*", "heads are listed one by one: `L9.H6, L9.H7`"),
        (r"[Ll]\d+\.[Hh]?\*", "heads are listed one by one: `L9.H6, L9.H7`"),
        (r"[LlAaHh]?(\d{1,4})(?:[._:]|[._]?[Hh])(\d{1,4})", r"a head is written `L\1.H\2`"),
        (r"(?:[Mm]|[Mm][Ll][Pp])[._]?(\d{1,4})", r"an MLP is written `L\1.MLP`"),
        (r"[Ll]?(\d{1,4})[._]?(?:[Mm]|[Mm][Ll][Pp])", r"an MLP is written `L\1.MLP`"),
        (r"(?:blocks|transformer\.h|h|layers)\.\d+.*", "write `L9.H6`, or `L9.MLP`"),
        (r"[Ll](\d{1,4})-[Hh](\d{1,4})", r"a head is written `L\1.H\2`"),
        (r"[Ll]\d+[Hh]\d+.*", "a head is written `L9.H6`"),
        (r"[Ll]-\d+.*", "layers count from 0, the first"),
        (r"[Ll](\d{1,4})(?:\.[A-Za-z_]\w*)?", r"name a head or an MLP: `L\1.H6` or `L\1.MLP`"),
        (r"[Hh](\d{1,4})", r"a head names its layer: `L9.H\1`"),
        (r"[Aa](\d{1,4})", "a head is written `L9.H6`"),
        (
            r"(?:hook_)?resid_(?:pre|mid|post)|attn_out|mlp_out",
            "streams are for `patch` and `steer`: `L5.resid_pre`",
        ),
        (r"(?:hook_)?(?:tok_|pos_)?embeds?|wte|wpe|embeddings?|inputs?", "write `embed`"),
        (r"outputs?|unembed|lm_head|resid_final", "write `logits`"),
    )
)


def plain(text: str) -> str:
    """The text in ASCII, where all its other characters look like ASCII ones; else empty.

    Fullwidth forms, mathematical letters, sub- and superscripts and ligatures are compatibility
    characters of Unicode (NFKC); Greek and Cyrillic letters and signs are those of a table.
    """
    folded = "".join(_PLAIN.get(c) or unicodedata.normalize("NFKC", c) for c in text)
    folded = "".join(_PLAIN.get(c, c) for c in folded)
    return _ARROWS.sub(r"\1>", folded) if folded.isascii() and folded != text else ""


def written_component(word: str) -> str:
    """A hint for a component that is written as other tools do (`9.6`, `L9H6`), or nothing."""
    if len(word) > 100 or _VALID.fullmatch(word):
        return ""
    for pattern, hint in _COMPONENTS:
        if match := pattern.fullmatch(word):
            return match.expand(hint)
    return ""
