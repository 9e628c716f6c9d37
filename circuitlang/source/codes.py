"""Every diagnostic code with its one-line meaning; codes are stable across versions.

CL1xx: reading and syntax. CL2xx: names, order and meaning. CL3xx: prompts and tokens.
CL4xx: the model.
"""

from enum import StrEnum


class Severity(StrEnum):
    """An error stops the file; a warning is shown and the file goes on."""

    ERROR = "error"
    WARNING = "warning"


CODES: dict[str, str] = {
    "CL101": "the file cannot be read",
    "CL102": "the file is not UTF-8 text",
    "CL103": "the file is too large",
    "CL104": "a character that hides or changes what a reader sees",
    "CL110": "syntax error",
    "CL111": "a string is not closed",
    "CL112": "a block is not closed",
    "CL113": "too many mistakes to go on",
    "CL120": "a section is missing",
    "CL121": "a section stands twice",
    "CL201": "unknown node",
    "CL202": "name defined twice",
    "CL203": "node never used",
    "CL204": "component listed twice in one node",
    "CL205": "no such layer in this model",
    "CL206": "no such head or neuron in this layer",
    "CL207": "malformed component",
    "CL208": "name is reserved",
    "CL210": "edge runs backwards",
    "CL211": "receiver has no such slot",
    "CL212": "receiver needs a slot",
    "CL213": "sender cannot have a slot",
    "CL214": "logits cannot send, the embedding cannot receive",
    "CL215": "some pairs of a group edge run backwards",
    "CL216": "positions of the two ends do not join",
    "CL217": "edge stands twice",
    "CL218": "attention cannot look forward",
    "CL220": "unknown word",
    "CL221": "bound is missing or stands twice",
    "CL222": "bound or metric that cannot be met",
    "CL223": "unit does not fit",
    "CL224": "number out of range",
    "CL225": "setting or clause stands twice",
    "CL226": "clause does not belong here",
    "CL227": "nothing to test",
    "CL228": "more than a file may hold",
    "CL229": "the design cannot reach a verdict",
    "CL230": "a claim about attention heads alone",
    "CL240": "a test of the circuit that can pass only once other claims are decided",
    "CL241": "an effect that is zero under this corruption",
    "CL242": "zero ablation with biases that are not folded",
    "CL243": "a mean over different templates",
    "CL244": "a node from which nothing leads to the logits",
    "CL245": "a corrupt word that the clean prompt may have",
    "CL249": "texts that cannot be steered by",
    "CL301": "unknown slot",
    "CL302": "slot without words",
    "CL303": "slot never used",
    "CL304": "position that a template does not have",
    "CL305": "malformed template",
    "CL306": "unknown word list",
    "CL307": "not enough words",
    "CL308": "corruption changes nothing",
    "CL309": "word list defined twice for a slot",
    "CL310": "clean and corrupt prompts differ in length",
    "CL311": "answer is not one token",
    "CL312": "prompts of one template do not align",
    "CL313": "position falls outside the prompt",
    "CL314": "positions of clean and corrupt prompts differ",
    "CL315": "word unknown to the tokenizer",
    "CL320": "corrupt templates do not match the clean ones",
    "CL321": "the data file cannot be used",
    "CL322": "the data file lacks a column",
    "CL323": "a row of the data file is no prompt pair",
    "CL324": "unknown generator or argument",
    "CL325": "too few tokens to draw from",
    "CL326": "prompt longer than the model reads",
    "CL330": "words that are compared as numbers are none",
    "CL331": "a set of words is empty",
    "CL332": "what the metric compares has a word in common",
    "CL333": "a space in a word that follows without one",
    "CL401": "unknown model",
    "CL402": "model option",
}

WARNINGS = frozenset(
    {"CL203", "CL215", "CL240", "CL241", "CL242", "CL243", "CL244", "CL245", "CL303"}
)
