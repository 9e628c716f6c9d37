"""What is written by habit from other languages and tools, and what to write here instead.

Tables alone; `syntax_errors` looks things up in them.
"""

from typing import NamedTuple


class Habit(NamedTuple):
    """Where a token was not accepted: what stands around it, and what to tell.

    ``where`` are alternatives, each of tags that must all hold (`edges+bound`): the section, what
    was expected (`EXPECTED`), `header` behind a block's name, `top` outside of all, `*` always.
    ``before`` ends at the token and ``after`` begins with it, both within the statement's line.
    ``hint`` may name groups of ``after``.
    """

    where: str
    before: str
    after: str
    hint: str


EXPECTED = {
    "bound": {"AT_LEAST", "WITHIN"},
    "arrow": {"DIRECT"},
    "receiver": {"DIRECT", "AT_LEAST"},
    "number": {"NUMBER"},
    "component": {"COMPONENT"},
    "string": {"STRING"},
    "comma": {"COMMA"},
    "name": {"NAME"},
    "section": {"PROMPTS"},
}
"""Tags, and the terminals that must all be acceptable for each."""

_EDGE = "an edge is written `A -> B.Q` or `A ~> B.Q`"
_BOUND = "a bound is written `>= 30%`, `<= -5%` or `in 10%..30%`"
_RANGE = "a range is written `in 10%..30%`"
_NODE = "a node is written `NMH L9.H6, L9.H9 at END`"
_PLACES = "positions of an edge are written `A -> B.Q from S2 to END`"
_OF_NODE = "its positions are those of its node: write `at` under `nodes`"
_RULE = "a rule is written `S2 = IO`"
_WORDS = 'words are listed with `from`: `TOWN from "York", "Rome"`'
_NAME = "a name has letters, digits and `_`, and begins with no digit"
_ARGUMENTS = "such as `logit_diff(IO, S)`"
_ONE_LINE = "a statement is one line"
_OPENS = "a block opens with `{` on the line of its name"
_EXPONENT = "a number has no exponent: write it out"
_ALONE = "each statement stands on a line of its own"
_NUMBER = r"(?<![\w.\]])[\d.]*\d$"
_END = r"\s*(#.*)?$"

FIRST = tuple(
    Habit(*row)
    for row in (
        ("*", r"", r"//|/\*|<!--", "a comment begins with `#`"),
        ("test", r"^$", r"(minimum|random|greedy|sweep)_(\w+)", r"write `\1 \2`"),
        ("claims", r"^$", r"sweep\s+pairs\b", "the setting `sweep pairs` stands under `test`"),
        ("bound", r"", r"(?:with|using)\s+(\w+)", r"write `by \1`"),
        ("prompts", r"^(clean|corrupt)\s*$", r"([frub]+)\"", r"delete the `\1`"),
        ("bound", r"", r"(at\s*least|over|above|more|min)\b", "write `>=`"),
        ("bound", r"", r"(at\s*most|under|below|less|max)\b", "write `<=`"),
    )
)
"""Asked before what was found is compared with words that could have stood there."""

HABITS = tuple(
    Habit(*row)
    for row in (
        # comments, line ends, lists
        ("*", r"^$", r"--|%|\"\"\"", "a comment begins with `#`"),
        ("*", r"^$", r"[-*]\s", "delete it: a line begins with no list mark"),
        ("*", r"", r"\\", _ONE_LINE),
        ("top+section", r"^$", r";", "a comment begins with `#`"),
        ("top", r"^$", r"\"\w+\"\s*[:{]", "a section has no quotes"),
        ("*", r"^$", r"[)\]]", "a block closes with `}`"),
        ("nodes edges claims prompts test", r"^end\s*$", _END, "a block closes with `}`"),
        ("comma", r"[^,\s]\s*$", r"(;|and\b|&|\+|\|)", "write `,` instead of `\\1`"),
        ("*", r"", r";|,\s*(#.*)?$", "delete it: a statement ends with its line"),
        ("*", r",\s*$", _END, f"a list ends without `,`, and {_ONE_LINE}"),
        ("*", r"^$", r">=|<=|in\b|within\b|by\b|at\b|to\b", f"{_ONE_LINE}: join it with the last"),
        # what is missing at the end of a line
        ("edges claims", r"(>=|<=|\bwithin)\s*$", _END, "a number follows, such as `20%`"),
        ("edges", r"[-~]>\s*$", _END, f"name who receives: {_EDGE}"),
        ("edges", r"\bby\s*$", _END, "write `by noising` or `by denoising`"),
        ("claims", r"\bby\s*$", _END, "such as `by mean`"),
        ("claims", r"\bby\s+[\d.]+\s*%?\s*$", _END, _BOUND),
        ("prompts", r"^(?!clean|corrupt|sample)\w[\w, ]*$", _END, _WORDS),
        # numbers
        ("edges", r"\bfrom\s*$", r"\d[\d.]*\s*%", _RANGE),
        (
            "test prompts",
            r"(seed|sample|looks|resamples|edges)\s*$",
            r"\"",
            "a number has no quotes",
        ),
        ("edges claims", r"\bin\s*[\[(]?\s*[-+]?[\d.]+\s*%?\s*(\.\.)?$", r"", _RANGE),
        ("number", r"\bin\s*$", r"[\[(]", _RANGE),
        ("number", r"", r"\.(\d+)", "write `0.\\1`"),
        ("number", r"", r"±", "`within 2%` means from -2% to 2%"),
        ("number", r"by\s*$", r"\(", "a factor comes first: `by 2 * (clean - corrupt)`"),
        ("test prompts", r"(seed|sample|\w+)\s*$", r"-\d", "it cannot be negative"),
        ("*", _NUMBER, r"\.(?!\.)", "a digit follows the point, such as `3.0`"),
        ("*", _NUMBER, r",\d{3}(?!\d)", "write the number without `,`"),
        ("*", _NUMBER, r",\d", "a decimal point is written `.`"),
        ("*", _NUMBER, r"_\d", "write the number without `_`"),
        ("*", r"\d_\d+\s*$", r"", "write the number without `_`"),
        ("*", _NUMBER, r"[eE][-+]?\d", _EXPONENT),
        ("*", r"\d[eE]\d*\s*$", r"", _EXPONENT),
        ("test prompts", r"\d$", r"[A-Za-z]", "write the number out, such as `10000`"),
        # what opens a block
        ("header", r"", r"", _OPENS),
        # sections of one line
        ("model", r"^model\s*$", _END, 'such as `model "gpt2"`'),
        ("model", r"builtin\s*$", _END, "`circuitlang models` lists them"),
        ("circuit", r"^circuit\s*$", _END, 'such as `circuit ioi "title"`'),
        ("metric", r"^metric\s*$", _END, _ARGUMENTS),
        ("model metric circuit", r"^(model|metric|circuit)\s*$", r"([:=])", "delete the `\\1`"),
        ("model", r"^model\s*$", r"[./~]", "put it in quotes"),
        ("model", r"^model\s*$", r"\w+\s+\"", "delete it: the name stands alone"),
        ("model", r"\"\s+\w+\s*$", _END, "an option has a value, such as `dtype float32`"),
        ("model", r"\"\s*$", r"\"", "a file has one model"),
        ("model", r"", r"\{", 'a model is one line: `model "gpt2"`'),
        ("metric", r"^metric\s*$", r"\{", "a metric is one line: `metric logit_diff(IO, S)`"),
        ("circuit", r"", r"\{", 'it is one line: `circuit ioi "title"`, without a block'),
        ("circuit", r"^circuit\s*$", r'"', 'a name comes before the title: `circuit ioi "title"`'),
        ("circuit", r"", r"[-.]", f"{_NAME}; the title stands in quotes"),
        ("model", r"\w\s*$", r"([:=])", "delete the `\\1`: options are written `dtype float32`"),
        ("model", r"", r",", "delete it: options follow without `,`"),
        ("model", r"builtin\s+\w+$", r"-", "write `_` for `-`"),
        ("model", r"builtin\s+$", r'"', "a built-in model is named without quotes"),
        ("model", r"torch$", r"\.", "write the type alone, such as `float32`"),
        ("model", r"revision\s+\w+$", r"[-./]", "put it in quotes"),
        ("metric", r"^metric\s*$", r'"', "write it without quotes"),
        ("metric", r"^metric\s+(logit|prob)\s*$", r"-?\s*diff", "the name is written with `_`"),
        ("metric", r"^metric\s+\w+\s*$", r"[-\s]\w|\w", f"the arguments stand in (): {_ARGUMENTS}"),
        ("metric", r"^metric\s+\w+\s*$", r"\[", f"the arguments stand in (): {_ARGUMENTS}"),
        ("metric", r"\(\s*$", r"\)", f"name what it is of, {_ARGUMENTS}"),
        ("metric", r",\s*$", r"\)", "delete the `,` before it"),
        ("metric", r"\)\s*$", r"[-+*/]", f"a metric is one name, {_ARGUMENTS}"),
        ("metric", r"^metric\s+\w+\s*$", r"=", f"a metric has no second name, {_ARGUMENTS}"),
        ("metric", r"", r"\{", f"slots are named without braces, {_ARGUMENTS}"),
        ("metric", r"\w\s*$", r"=", f"arguments have no names, {_ARGUMENTS}"),
        ("metric", r"\w\s*$", r"-|/|[A-Za-z]", f"arguments are separated by `,`, {_ARGUMENTS}"),
        ("metric", r"\([^)]*$", _END, "close it with `)`"),
        # prompts
        ("prompts", r"^(clean|corrupt|from|sample)\s*$", r"([:=])", "delete the `\\1`"),
        ("prompts", r"^(clean|from)\s*$", r"[\w{./]", "put it in quotes"),
        ("prompts", r"\\\"\s*$", r"", 'there are no escapes, so a string cannot hold `"`'),
        ("prompts", r"\"\"$", r"\"", 'a string stands between single `"`, on one line'),
        ("prompts", r"^clean\b.*\"\s*$", r"", "a template is one string on one line"),
        ("prompts", r"^clean\s*$", r"\[", "each template has a `clean` line of its own"),
        ("prompts", r"^sample\s.*seed\s*$", r"", "write `sample 100 seed 0`"),
        ("prompts", r"^\w+\s+$", r"\w+\s+from\b", "slots are separated by `,`"),
        ("prompts", r"from\s+\".*\"\s*(\.\.)?$", r"\.|-|to\b", 'a range is written `"02".."98"`'),
        ("prompts", r"^$", r"[\"{]", "a slot is named without quotes and braces"),
        ("prompts", r"\w\(.*$", r":", "an argument is written `length = 50`"),
        ("prompts", r"\w\(\s*$", r"\d|\"", "arguments have names, such as `length = 50`"),
        ("prompts", r"^repeated_tokens\s*$", r"", "write `repeated_tokens(length = 50)`"),
        ("prompts", r"^corrupt\s.*=\s*$", r"=", "write one `=`"),
        ("prompts", r"^corrupt\s.*=\s*$", r"[\d]", "a word stands in quotes"),
        ("prompts", r"^corrupt\s(.*=)?\s*$", r"\{", f"a slot is named without braces: {_RULE}"),
        ("prompts", r"^corrupt\s.*=\s*\S+,\s*$", r"\"", f"each place has one word, and {_RULE}"),
        (
            "prompts",
            r"^corrupt\s*\".*\"\s*$",
            r"",
            "`corrupt` has rules, such as `S2 = IO`, or one template",
        ),
        ("prompts", r"^corrupt\s.*=\s*\w+\s*$", r"\w", "rules are separated by `,`"),
        ("prompts", r"^corrupt\b[^=]*$", r"", _RULE),
        ("prompts", r"^sample\s+\d+\s*$", r"", "write `sample 100 seed 0`"),
        ("prompts", r"\bfrom\s*$", r"[\[({]", "words stand without brackets"),
        ("prompts", r"\bfrom\s*$", r"\d", 'words stand in quotes, also numbers: `"1".."9"`'),
        ("prompts", r"\bfrom\s+\w+\s*$", r"", 'words stand in quotes: `from "York", "Rome"`'),
        ("prompts", r"\"\s*$", r"\"", "words are separated by `,`"),
        ("prompts", r"^\w[\w, ]*$", r"=|:|in\b", _WORDS),
        # nodes
        ("nodes", r"^$", r"[\"']", "a name has no quotes"),
        ("nodes", r"^$", r"\d", _NAME),
        ("nodes", r"^\w+\s*$", r"([=:])", f"delete the `\\1`: {_NODE}"),
        ("nodes", r"^\w+\s*$", r"[\[({]", f"components stand without brackets: {_NODE}"),
        ("nodes", r"^\w+\s*$", r"-", f"{_NAME}: write `_` for `-`"),
        ("nodes", r"^\w+\s*$", r"[\"']", "the label stands last"),
        ("nodes", r"^\w+\s+$", r"\w+\s+[Ll]\d", "one word stands before the components, the name"),
        ("nodes", r"^end\s*$", r"", "a block closes with `}`"),
        ("nodes", r"^\w+\s*$", _END, _NODE),
        ("nodes+comma", r"^\S+\s[^\"]*$", r"[Ll]\d", "components are separated by `,`"),
        ("nodes", r"\bat\s*$", r"[\d+-]", "a position is a slot or END, such as `S2` or `END-1`"),
        ("nodes", r"\bat\s*$", r":", "delete the `:`"),
        ("nodes", r"\bat\s.*\w\s+$", r"\d", "a place is written without a space, such as `S2`"),
        ("nodes edges claims", r"\b(at|from|to)\s*$", r"[(\[{\"']", "a position is a name alone"),
        ("edges claims nodes", r"\b(at|from|to)\s*$", rf"\d|{_END}", "such as `S2` or `END-1`"),
        ("nodes", r"\bat\s.*\w$", r"\[(\d+)\]", "write `S\\1` for place \\1 of slot S"),
        ("nodes", r"\bat\s[^\"]*$", r"at\b|[A-Z]", "positions are separated by `,`"),
        ("nodes+string", r"\bat\s[^\"]*$", r"[a-z]", "a label stands in quotes"),
        ("nodes", r"\"\s*$", r"at\b", "`at` comes before the label"),
        ("nodes", r"\"\s*$", r"", "the label is the last of a line"),
        ("nodes", r"[\w\]]\s*$", r"@|ta\b|on\b", "write `at`"),
        ("nodes", r"[\w\]]$", r"\.\w", "a node has no slot; an edge names it: `A -> NMH.Q`"),
        ("nodes", r"", r">=|<=|in\b|within\b", "only edges and claims have bounds"),
        ("nodes", r",\s*$", r"at\b|\"", "delete the `,` before it"),
        # edges
        ("edges", r"^$", r"[-~]>", _EDGE),
        ("edges", r"\.\w+$", r"\[", _PLACES),
        ("edges", r"\.\w+$", r"\.", "an edge enters one slot: write a line for each"),
        ("edges", r"\bfrom\s[^%]*\w\s*$", r"[-~]>", _PLACES),
        ("edges", r"^$", r"!", "absence is written `no A -> B.Q within 2%`"),
        ("edges", r"^$", r"\"", "a node is named without quotes"),
        ("edges", r"(^|[-~]>\s*)$", r"[\[({]", "several components are one node, under `nodes`"),
        ("edges", r"^$", r"\d[\d.]*\s*%?\s*[<>=]", "the bound stands last: `A -> B.Q in 10%..30%`"),
        ("edges", r"^each\s*$", r"no\b", "write `no each A -> B.Q`"),
        ("edges", r"[-~]>\s*$", r"each\b", "`each` stands first: `each A ~> B.Q`"),
        ("edges+arrow", r"", r"<-*>?|<~|←", f"{_EDGE}, from sender to receiver"),
        ("edges+arrow", r"\w\s*$", r"-+$|[-=~]*>(?!=)|[-=~]+\s+[A-Za-z]", _EDGE),
        ("edges", r"\.\w+$", r",", "an edge enters one slot: write a line for each"),
        ("edges", r"\w$", r"\[[QKV]\]|[/:][QKV]\b", "a slot is written `B.Q`"),
        (
            "edges",
            r"^[^%]*[-~]?>?\s*\w+\s*$",
            r"[,+&/|]",
            "several components are one node, under `nodes`",
        ),
        ("edges", r"", r"at\b|@", _PLACES),
        ("edges+bound", r"", r"to\b", "`to` follows `from`: `A -> B.Q from S2 to END`"),
        ("edges", r"", r"\"", "an edge has no label; a comment begins with `#`"),
        # claims
        ("claims", r"^attention\s.*$", r"", "write `attention NMH END -> IO >= 0.5`"),
        ("claims", r"\b(patch|steer)\b.*(%|\))\s*$", r"at\b", "`at` comes before `by` and bound"),
        ("claims", r"^baseline\b", r"at\b|@|from\b", "the metric is read at END alone"),
        ("claims", r"", r"at\b|@|from\b", _OF_NODE),
        ("claims+bound", r"", r"(,\s*)?(ablate|patch|steer|sweep|faithfulness)\b", _ALONE),
        ("claims", r"^ablate\s*$", r"\(", "write `ablate SIH >= 50%`"),
        ("claims", r"^ablate\s*$", r"", "name a node: `ablate SIH >= 50%`"),
        ("claims", r"^sweep\s", r",", _ALONE),
        ("claims", r"^(patch|ablate|steer)\s", r"[-~]>", "an edge is written under `edges`"),
        ("claims", r"^\w+\s+[\w.]+\s*$", r",", "several components are one node, under `nodes`"),
        ("claims", r"^sweep\s*$", r"", "say of what: `sweep head_output`"),
        ("claims", r"by\s.*\*\s*$", r"", "write `by 2 * (clean - corrupt)`"),
        ("claims", r"by\s+[\d.]+\s*\w*\s*$", r"[(x×]", "write `by 2 * (clean - corrupt)`"),
        # bounds
        ("bound", r"", r"=>", "write `>=`"),
        ("bound", r"", r"=<", "write `<=`"),
        ("bound", r"", r"==?|~|:|[\d(]", _BOUND),
        ("bound", r"", r"([<>])", "write `\\1=`"),
        ("bound", r"", r"and\b|&|between\b|,\s*<=", _RANGE),
        ("bound", r"", r"(mean|zero|resample|noising|denoising)\b", "write `by \\1`"),
        ("edges+bound", r"", r"(,\s*)?[\w.]+\s*[-~]>", _ALONE),
        ("name", r"by\s*$", r"([=:])", "delete the `\\1`"),
        # test
        ("test", r"\w\s*$", r"([=:])", "delete the `\\1`"),
        ("test", r"^significance\s*$", r"", "write `significance 5% correction holm`"),
        ("test", r"^significance\s+\S+\s*$", r"(\w+)", "write `correction \\1`"),
        ("test", r"^ablation\s*$", r"by\b", "write `ablation mean`, without `by`"),
        ("test", r"^ablation\s*$", r"", "`mean`, `zero` or `resample`"),
        ("test", r"^direction\s*$", r"", "`noising` or `denoising`"),
        ("test", r"^$", r"\"", "a setting has no quotes"),
        ("test", r"^minimum\s*$", r"\d", "write `minimum effect 1%`"),
        ("test", r"^random\s*$", r"\d", "say of what: `random edges 100`"),
        ("test", r"^greedy\s*$", r"\d", "write `greedy searches 1`"),
        ("test", r"^pairs\s+\w*\s*$", _END, "write `pairs wrong skip`"),
        ("test", r"^pairs\s+sweeps?\s*$", r"(\d+)", "write `sweep pairs \\1`"),
        ("test", r"\w\s*$", _END, "it needs a value"),
    )
)

FALLBACKS = tuple(
    Habit(*row)
    for row in (
        ("edges+arrow", r"", r"", _EDGE),
        ("nodes+component", r"", r"[A-Za-z]", "a node lists components, such as `L9.H6`"),
        ("number", r"", r"[A-Za-z]", "a number is written in digits"),
        (
            "claims",
            r"^\w+\s*$",
            r"[<>]=|in\b|within\b",
            "name what is claimed: `ablate NMH >= 50%`",
        ),
        (
            "claims+bound",
            r"^[a-z]+\s*$",
            r"[A-Za-z]",
            "a claim about the whole circuit names no node",
        ),
        ("claims+bound", r"^\w+\s+[\w.]+\s+$", r"\w", "several components are one node"),
        ("prompts", r"^\w+\s*$", r"\w", _WORDS),
        ("test", r"", r"\w", "one setting stands on a line"),
        ("edges claims", r"", r"\[", "write it without brackets"),
        ("nodes edges claims prompts test", r"", r"[%?$`*!]", "delete it"),
        ("top", r"", r"[{\[]", 'a circuit file has sections, such as `model "gpt2"`'),
        ("top", r"", r"[A-Za-z]+\s+[A-Za-z]+\s+[A-Za-z]", "a comment begins with `#`"),
    )
)
"""Asked where no keyword is near what was found."""

MEANT = {
    "alpha": "significance",
    "level": "significance",
    "bootstrap": "resamples",
    "permutations": "resamples",
    "knockout": "ablate",
    "samples": "sample",
    "n": "sample",
    "prompt": "clean",
    "template": "clean",
    "original": "clean",
    "counterfactual": "corrupt",
    "settings": "test",
    "config": "test",
    "options": "test",
    "heads": "nodes",
    "components": "nodes",
    "hypothesis": "claims",
    "name": "circuit",
    "file": "from",
    "not": "no",
    "all": "each",
    "every": "each",
}
"""Words of others for words of this language."""

CLAUSES = {
    ("prompts", "seed"): "the seed follows the sample: `sample 100 seed 0`",
    ("claims", "ablation"): "a claim is written `ablate SIH >= 50%`; the setting is of `test`",
    ("test", "correction"): "it follows the level: `significance 5% correction holm`",
    ("test", "minimal"): "write `minimum effect 1%`",
    ("test", "per"): "it follows the ablation: `ablation mean per template`",
    ("test", "effect"): "write `minimum effect 1%`",
    ("test", "edges"): "write `random edges 100`",
    ("test", "circuits"): "write `random circuits 100`",
    ("test", "subsets"): "write `random subsets 10`",
    ("test", "searches"): "write `greedy searches 1`",
    ("test", "sweep"): "sweeps stand under `claims`; the setting is written `sweep pairs 20`",
}
"""Words that begin no line, by the block in which they did."""
