"""Writes the prompt pairs of this folder; README.md says where their form and words come from.

`python circuits/data/write.py` writes the same bytes each time.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
Row = dict[str, Any]

# Prompts of TransformerLens's demos, in their order: each pair of lines is one sentence whose
# second name is exchanged, and each is the corrupt prompt of the other.
IOI8 = (
    ("When {} and {} went to the shops, {} gave the bag to", "John", "Mary"),
    ("When {} and {} went to the park, {} gave the ball to", "James", "Tom"),
    ("When {} and {} went to the shops, {} gave an apple to", "Sid", "Dan"),
    ("After {} and {} went to the park, {} gave a drink to", "Amy", "Martin"),
)
WRITTEN_FIRST = frozenset({"John", "Tom", "Dan", "Martin"})

HE = """
    Michael Christopher Matthew Joshua Daniel David James Robert John Joseph Andrew Ryan Brandon
    Jason Justin William Jonathan Brian Nicholas Anthony Eric Adam Kevin Steven Thomas Timothy Kyle
    Richard Jeffrey Jeremy Benjamin Mark Aaron Charles Jacob Stephen Patrick Sean Nathan Dustin
    Paul Tyler Scott Gregory Travis Kenneth Bryan Jose Alexander Bradley
""".split()  # noqa: SIM905 - names are read more easily without quotes
SHE = """
    Jessica Ashley Jennifer Amanda Sarah Stephanie Nicole Heather Elizabeth Megan Melissa Christina
    Rachel Laura Lauren Amber Brittany Danielle Kimberly Amy Crystal Michelle Tiffany Emily Rebecca
    Erin Samantha Sara Angela Katherine Andrea Erica Mary Lisa Lindsey Kristen Katie Shannon
    Vanessa Courtney Christine Alicia Allison Anna Julia Karen Linda Nancy Susan Victoria
""".split()  # noqa: SIM905 - as above

# Names of variables and nouns of the docstring data set.
VARIABLES = """
    data name file value test new result line user key default request path output node item url
    model response text version function log string field start number values sub index error
    current context image message check json create size event state row end form query fields
    label run action target array code table source config first required options update module
    status group content results last read command base format color settings order found match
    tag title parent call session token server host date description mode project header option
    task shape load names port old resource root
""".split()  # noqa: SIM905 - as above
NOUNS = """
    price cost process course education research subject age father force act matter health lot
    street patient class mind church condition paper bank century section activity building sense
    sort staff team student language town plan management morning committee product practice
    evidence ground letter foot boy game food union role land art support range stage trade voice
    arm club history account material care manager record example training window air light wife
""".split()  # noqa: SIM905 - as above

# Words of which GPT-2's tokenizer makes a capital with its space, and one token more.
SPLIT = """
    Basket Batch Bunch Binder Burden Cattle Cursor Crop Cone Dancer Density Diameter Ditch Famine
    Fence Fraction Fixture Filler Kettle Kitten Knee Laptop Locker Lumber Lasso Oasis Oven Paddle
    Pawn Pause Pivot Rivalry Routine Rotation Racket Sleeve Sender Sibling Sieve Sink Tractor Tilt
    Tango Wagon Widget Wiring Yacht Yarn Yield Zebra Zipper
""".split()  # noqa: SIM905 - as above
# Two capitals that it does not join after ` (`.
APART = """
    BK BZ CK CY CZ DY DZ FZ KD KF KL KP KW KZ LF LK LW LZ OZ PW PY PZ RK RZ SZ TK TZ WK WL WO WY WZ
    YB YF YK YO YT YW YZ ZB ZC ZD ZF ZK ZL ZO ZP ZR ZS ZT ZW ZY
""".split()  # noqa: SIM905 - as above

# Players of the sports data set, which Pythia's tokenizer makes three tokens of each.
PLAYERS = {
    "football": """
        Phil Simms, Bernard Berrian, Walter Payton, Julius Peppers, Joe Haden, Deion Branch,
        Brandon Boykin, Rich Gannon, Bruce Irvin, Michael Oher, Brian Hoyer, Warren Sapp,
        Nick Fairley, Ahmad Bradshaw, Brent Celek, Clinton Portis
    """,
    "baseball": """
        Babe Ruth, Mark McGwire, James Loney, Barry Zito, Barry Bonds, Gio Gonzalez, Roy Halladay,
        Jimmy Rollins, Mariano Rivera, Peter Bourjos, Yan Gomes, Dexter Fowler, Andrew Cashner,
        Willie Mays, Rafael Furcal, Stan Musial
    """,
    "basketball": """
        Kenyon Martin, Marc Gasol, Jaren Jackson, Isiah Thomas, Jrue Holiday, Bob Cousy,
        Jerry Stackhouse, Kobe Bryant, Kyrie Irving, Delonte West, Dwight Howard, Dennis Rodman,
        Joe Dumars, Moses Malone, Kwame Brown, Carmelo Anthony
    """,
}


def ioi8() -> Iterator[Row]:
    """Eight prompts, BOS written out; S2 is token 10."""
    for sentence, one, other in IOI8:
        first, second = (one, other) if one in WRITTEN_FIRST else (other, one)
        for subject, io in ((one, other), (other, one)):
            clean, corrupt = (
                "<|endoftext|>" + sentence.format(first, second, name) for name in (subject, io)
            )
            kind = "IO first" if io == first else "S first"
            yield {
                "clean": clean, "corrupt": corrupt, "answer": io, "distractor": subject,
                "template": kind, "S2@token": 10,
            }  # fmt: skip


def pronouns() -> Iterator[Row]:
    """The prompts of Mathwin et al.; the name is token 1."""
    for he, she in zip(HE, SHE, strict=True):
        for name, answer, distractor in ((he, "he", "she"), (she, "she", "he")):
            yield {
                "clean": f"So {name} is a really great friend, isn't",
                "corrupt": "That person is a really great friend, isn't",
                "answer": answer, "distractor": distractor, "template": answer, "NAME@token": 1,
            }  # fmt: skip


def docstring() -> Iterator[Row]:
    """The prompts of Heimersheim and Janiak with their corruption `random_random`, 41 tokens.

    The wrong names are the other five arguments of the definition: their chance level of 17% is
    one of six.
    """
    draw = random.Random(0)
    places = {"A_def": 11, "B_def": 13, "COMMA_B": 14, "C_def": 15, "A_doc": 27, "B_doc": 34}
    for _ in range(100):
        method, *names = draw.sample(VARIABLES, 12)
        words = draw.sample(NOUNS, 7)
        one, two, last, a, b, c, x, y, z, v, w = names
        yield {
            "clean": _docstring(method, (one, two, a, b, c, last), (a, b), words),
            "corrupt": _docstring(method, (one, two, x, y, z, last), (v, w), words),
            "answer": c, "wrong": [one, two, a, b, last],
            **{f"{place}@token": token for place, token in places.items()},
        }  # fmt: skip


def _docstring(
    method: str, arguments: tuple[str, ...], told: tuple[str, str], words: list[str]
) -> str:
    one, two = told
    return (
        f"<|BOS|>\ndef {method}(self, {', '.join(arguments)}):\n"
        f'    """{words[0]} {words[1]} {words[2]}\n\n'
        f"    :param {one}: {words[3]} {words[4]}\n"
        f"    :param {two}: {words[5]} {words[6]}\n"
        "    :param"
    )


def acronyms() -> Iterator[Row]:
    """The prompts of Garcia-Carrasco et al., 11 tokens; the third word is another in the corrupt
    one, of another first letter."""
    draw = random.Random(0)
    letters = sorted({word[0] for word in SPLIT})
    seen: set[str] = set()
    while len(seen) < 100:
        first, second = draw.choice(APART)
        third, other = draw.sample([x for x in letters if x not in (first, second)], 2)
        one, two, three, instead = (
            draw.choice([word for word in SPLIT if word[0] == letter])
            for letter in (first, second, third, other)
        )
        clean, corrupt = (
            f"<|endoftext|>The {one} {two} {word} ({first}{second}" for word in (three, instead)
        )
        if clean in seen:
            continue
        seen.add(clean)
        yield {
            "clean": clean, "corrupt": corrupt, "answer": third,
            "C1@token": 2, "C2@token": 4, "C3@token": 6, "T3@token": 7,
        }  # fmt: skip


def sports() -> Iterator[Row]:
    """Prompts of the sports data set; the corrupt one has a player of another sport."""
    players = {
        sport: [name.strip() for name in names.split(",")] for sport, names in PLAYERS.items()
    }
    sports = tuple(players)
    for number in range(16):
        for place, sport in enumerate(sports):
            for step in (1, 2):
                other = sports[(place + step) % 3]
                name, instead = players[sport][number], players[other][number]
                clean, corrupt = (
                    "<|endoftext|>Fact: Tiger Woods plays the sport of golf\n"
                    f"Fact: {player} plays the sport of"
                    for player in (name, instead)
                )
                yield {
                    "clean": clean, "corrupt": corrupt, "answer": sport, "distractor": other,
                    "template": sport, "NAME": name, "NAME@corrupt": instead,
                }  # fmt: skip


FILES = {
    "ioi8": ioi8,
    "pronouns": pronouns,
    "docstring": docstring,
    "acronyms": acronyms,
    "sports": sports,
}


def text(name: str) -> str:
    """What stands in the file of a name, one JSON object a line."""
    return "".join(json.dumps(row) + "\n" for row in FILES[name]())


if __name__ == "__main__":
    for name in FILES:
        (FOLDER / f"{name}.jsonl").write_text(text(name), encoding="utf-8")
