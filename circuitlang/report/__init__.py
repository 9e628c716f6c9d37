"""A judged hypothesis, and its renderings; a renderer is a pure function from Report to text."""

from circuitlang.report.exit_code import ExitCode, exit_code
from circuitlang.report.json import render_json, report_schema
from circuitlang.report.report import (
    Baseline,
    ClaimReport,
    Estimate,
    Interval,
    Place,
    Report,
    Settings,
    Stratum,
    Verdict,
)
from circuitlang.report.terminal import render_terminal

__all__ = [
    "Baseline",
    "ClaimReport",
    "Estimate",
    "ExitCode",
    "Interval",
    "Place",
    "Report",
    "Settings",
    "Stratum",
    "Verdict",
    "exit_code",
    "render_json",
    "render_terminal",
    "report_schema",
]
