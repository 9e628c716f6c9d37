"""Words of the known models' prompts; no word stands in two lists."""

from circuitlang.circuit.words import BUILTIN_WORDS

NAMES = tuple(BUILTIN_WORDS["names"][:14])
ANIMALS = (
    "otter", "heron", "badger", "lynx", "falcon", "beaver", "raven", "salmon",
    "tiger", "rabbit", "turtle", "panda", "camel", "eagle", "hedgehog", "walrus",
)  # fmt: skip
MANNERS = (
    "quietly", "slowly", "gladly", "badly", "boldly", "calmly", "coldly", "dearly",
    "deeply", "dimly", "dryly", "easily", "fairly", "fiercely", "firmly", "fondly",
    "freely", "gently", "grandly", "gravely", "happily", "hardly", "hastily", "highly",
    "idly", "justly", "keenly", "kindly", "largely", "lightly", "loudly", "madly",
    "meekly", "mildly", "nearly", "neatly", "openly", "plainly", "proudly", "rudely",
)  # fmt: skip
PLANTS = (
    "apple", "birch", "cedar", "clover", "daisy", "elm", "fern", "fig",
    "garlic", "grape", "hazel", "heather", "holly", "iris", "ivy", "jasmine",
    "larch", "laurel", "lemon", "lily", "lotus", "maple", "mint", "moss",
    "nettle", "oak", "olive", "onion", "orchid", "palm", "peach", "pear",
    "pine", "plum", "poppy", "reed", "rice", "rose", "sage", "willow",
)  # fmt: skip
