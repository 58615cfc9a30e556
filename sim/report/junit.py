"""
Verdicts as JUnit XML, which every continuous integration service draws.

A claim that failed is a failure; one that cannot be told or is stale is an error, as it was not tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from sim.claims.intervals import AS_SAID
from sim.claims.verdicts import Finding


def write_junit(path: Path, suites: Mapping[str, Sequence[Finding]]) -> None:
    """Write one test suite per experiment, one test case per claim; raises OSError if it cannot."""
    root = ElementTree.Element("testsuites", name="readpath check")
    for experiment, findings in suites.items():
        failures = sum(finding.verdict == "failed" for finding in findings)
        errors = sum(finding.verdict in ("cannot tell", "stale") for finding in findings)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_xml(experiment),
            tests=str(len(findings)),
            failures=str(failures),
            errors=str(errors),
        )
        for finding in findings:
            _case(suite, experiment, finding)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _xml(text: str) -> str:
    """Return a text as XML can hold it: it has no control characters but three, not even as entities."""
    return "".join(
        letter if letter in "\t\n" or letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _case(suite: ElementTree.Element, experiment: str, finding: Finding) -> None:
    claim = finding.claim
    case = ElementTree.SubElement(suite, "testcase", classname=_xml(experiment), name=_xml(claim.name))
    if finding.verdict in AS_SAID:
        return
    tag = "failure" if finding.verdict == "failed" else "error"
    worst = finding.worst
    said = f"{claim.said} [{claim.describe()}: {claim.rule()}]"
    if worst is not None:
        said += f" found {worst.interval.mean:.6g} at {', '.join(worst.labels)}"
    problem = ElementTree.SubElement(case, tag, type=finding.verdict, message=_xml(said))
    problem.text = _xml("\n".join(finding.notes))
