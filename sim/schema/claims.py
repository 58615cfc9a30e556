"""
The schema of files of claims.
"""

from __future__ import annotations

from sim.claims import claims
from sim.claims.claims import Claim, ClaimsFile, Elsewhere, Measure, Recorded
from sim.config.cell_result import GROUPS, METRICS
from sim.schema.documented import DIALECT, Schema, columns_of, first_paragraph, in_words

_LABELS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}


def claims_schema() -> Schema:
    """Return the schema of a file of claims; what the module's table says of each key is its description."""
    made = ClaimsFile.model_json_schema()
    said = columns_of(claims.__doc__ or "", [*Claim.model_fields, "experiment"])
    said |= {
        "learnt": "what a claim that failed taught",
        "elsewhere": first_paragraph(Elsewhere.__doc__ or ""),
        "recorded": first_paragraph(Recorded.__doc__ or ""),
    }
    definitions = made["$defs"]
    for key, words in said.items():
        if key in Claim.model_fields:
            definitions["Claim"]["properties"][key]["description"] = words
    definitions["Claim"]["description"] = "A sentence, a measure, a margin and a source."
    definitions["Measure"]["description"] = first_paragraph(Measure.__doc__ or "")
    definitions["Measure"]["properties"]["metric"]["anyOf"] = [
        {"const": name, "description": f"{unit}: {about}" if unit else about}
        for name, (unit, about) in METRICS.items()
    ]
    definitions["Measure"]["properties"]["groups"]["anyOf"][0]["items"] = {"enum": list(GROUPS)}
    for name in ("Claim", "Elsewhere"):
        definitions[name]["properties"]["of"]["additionalProperties"] = _LABELS
    made["properties"]["experiment"]["description"] = "The stem of the experiment file that they are about."
    made["properties"]["claim"] |= {"minItems": 1}
    return {
        "$schema": DIALECT,
        **in_words(made, {}),
        "title": "readpath claims",
        "description": "Claims on an experiment, which readpath check evaluates.",
    }
