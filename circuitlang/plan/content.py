"""Hashes of what values say: equal content has equal ids in every run, on every machine."""

import hashlib
import json
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any


def content_id(value: object, length: int = 12) -> str:
    """Hexadecimal hash of a frozen value, of what takes part in its comparison only.

    Spans, labels and other fields that do not compare leave the id alone.
    """
    text = json.dumps(_content(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _content(value: Any) -> Any:  # noqa: ANN401 - any frozen value
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        content = {f.name: _content(getattr(value, f.name)) for f in fields(value) if f.compare}
        for each in fields(value):
            # What came later is left out while it says nothing new: old evidence keeps its id.
            if each.metadata.get("later") and getattr(value, each.name) == each.default:
                del content[each.name]
        return {"kind": type(value).__name__, **content}
    if isinstance(value, tuple):
        return [_content(item) for item in value]
    return value
