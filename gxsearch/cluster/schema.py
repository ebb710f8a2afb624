"""A JSON Schema held against a part of a cluster file: what does not fit, as findings E381 to E383."""

from __future__ import annotations

from typing import Any

from gxsearch.cluster.findings import Findings
from gxsearch.cluster.sheet import PLACEHOLDER
from gxsearch.errors import did_you_mean
from gxsearch.search.yaml_file import Document

_FIXES = {
    "string": 'write text, in quotes where it looks like something else: "0"',
    "integer": "write a whole number",
    "number": "write a number",
    "boolean": "write true or false",
    "object": "write a group of 'key: value' lines",
    "array": "write a list",
    "['integer', 'string']": 'write a whole number, or text such as "0.5" or 8Gi',
}


def hold(schema: dict[str, Any], values: Any, doc: Document, found: Findings, *, whose: str = "", see: str) -> None:
    """Add what of the values of a document does not fit a schema; a value that is to be filled in fits everything.

    Args:
        values: those of the document, or `given` of them. whose: whose keys are known, such as ``KubeRay 1.7``.
        see: the advice where there is no better.
    """
    import jsonschema  # a tenth of a second that other files need not pay

    for error in jsonschema.Draft7Validator(schema).iter_errors(values):
        if isinstance(error.instance, str) and PLACEHOLDER.search(error.instance):
            continue  # what will be filled in may be a number
        at, name = tuple(error.absolute_path), ".".join(map(str, error.absolute_path))
        if error.validator == "additionalProperties" and isinstance(error.instance, dict):
            known = error.schema.get("properties", {})
            for key in error.instance.keys() - known.keys():
                what = f"unknown key '{key}'" + (f" ({whose})" if whose else "")
                found.add("E381", doc.where((*at, key), key=True), what, did_you_mean(key, known))
        elif error.validator == "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            what = f"{name or 'the file'} lacks {', '.join(missing)}"
            found.add("E382", doc.where(at, key=True), what, see)
        else:
            found.add("E383", doc.where(at), f"'{name}': {error.message[:120]}", _fix(error) or see)


def given(value: Any) -> Any:
    """Return a value without the keys that have none (null), which are to Kubernetes as if they were not there."""
    if isinstance(value, dict):
        return {key: given(below) for key, below in value.items() if below is not None}
    return [given(below) for below in value] if isinstance(value, list) else value


def _fix(error: Any) -> str | None:
    rule = error.validator_value
    if error.validator == "enum":
        return did_you_mean(str(error.instance), rule)
    if error.validator in ("minimum", "maximum"):
        return f"write {rule} or {'more' if error.validator == 'minimum' else 'less'}"
    if error.validator == "pattern":
        return "write a quantity such as 2, 500m or 8Gi"
    return _FIXES.get(str(rule)) if error.validator == "type" else None
