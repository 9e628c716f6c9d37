"""The report as JSON, and the schema that it keeps to."""

import json
from typing import Any

from circuitlang.report.report import Report


def render_json(report: Report) -> str:
    """Indented JSON, one trailing newline; keeps to docs/report.schema.json."""
    return report.model_dump_json(indent=2) + "\n"


def report_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the report."""
    schema = Report.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def render_schema() -> str:
    """The schema as it is checked in."""
    return json.dumps(report_schema(), indent=2) + "\n"
