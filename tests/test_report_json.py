"""The report as JSON: its schema is checked in, and nothing else gets through."""

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from circuitlang.report import Report, render_json, report_schema
from circuitlang.report.json import render_schema
from tests.sample_report import failed_report, sample_report

SCHEMA = Path(__file__).parents[1] / "docs" / "report.schema.json"


def test_the_checked_in_schema_is_the_generated_one():
    assert SCHEMA.read_text(encoding="utf-8") == render_schema()


@pytest.mark.parametrize("make", [sample_report, failed_report])
def test_reports_keep_to_the_schema_and_come_back_equal(make):
    report = make()
    text = render_json(report)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(text), schema)
    assert Report.model_validate_json(text) == report
    assert text.endswith("}\n")


@pytest.mark.parametrize("path", [(), ("claims", 0), ("provenance",), ("self_checks", 0)])
def test_unknown_fields_are_refused(path):
    data = json.loads(render_json(sample_report()))
    inner = data
    for step in path:
        inner = inner[step]
    inner["surprise"] = 1
    with pytest.raises(ValidationError, match="surprise"):
        Report.model_validate(data)
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        jsonschema.validate(data, report_schema())


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_are_finite(number):
    data = sample_report().model_dump()
    data["claims"][0]["estimate"]["value"] = number
    with pytest.raises(ValidationError, match="finite number"):
        Report.model_validate(data)


def test_json_has_no_nan():
    def refuse(name):
        raise AssertionError(name)

    assert json.loads(render_json(failed_report()), parse_constant=refuse)["claims"]


def test_another_version_of_the_schema_is_refused():
    data = json.loads(render_json(sample_report()))
    data["schema_version"] = 2
    with pytest.raises(ValidationError, match="schema_version"):
        Report.model_validate(data)
