"""A table of fields, one line for each group, made into a JSON Schema that knows no other keys.

A line is ``Group: key=type key!=type``; a line that begins with a space goes on with the line above. With ``!`` the key
must be there. A type is another group, or one of::

    text bool int long number quantity port any        a|b a|            one of these words
    int>=0                                             at least
    [type] [type]+                                     a list, with + one that is not empty
    {type}                                             a group whose keys are free

``int`` has 32 bits and ``long`` 64; a ``quantity`` is Kubernetes' ``500m`` or ``8Gi``, a ``port`` a number or a name.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_WHOLE = r"[+-]?(\d+(\.\d*)?|\.\d+)"
_TYPES: dict[str, dict[str, Any]] = {
    "any": {},
    "text": {"type": "string"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "long": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "number": {"type": "number"},
    "quantity": {"type": ["integer", "string"], "pattern": rf"^{_WHOLE}([KMGTPE]i|[numkMGTPE]|[eE]{_WHOLE})?$"},
    "port": {"type": ["integer", "string"]},
}


@cache
def schema(table: str, root: str) -> dict[str, Any]:
    """Return the JSON Schema of the group `root` of a table; an unknown type is a KeyError."""
    lines = re.sub(r"\n +", " ", table).splitlines()
    groups = dict(line.split(":", 1) for line in lines if line)
    return {"$ref": f"#/$defs/{root}", "$defs": {name: _group(keys, groups) for name, keys in groups.items()}}


def _group(keys: str, groups: dict[str, str]) -> dict[str, Any]:
    pairs = [found.groups() for found in re.finditer(r"(\S+?)(!?)=(\S+)", keys)]
    return {
        "type": "object",
        "properties": {key: _type(kind, groups) for key, _, kind in pairs},
        "required": [key for key, must, _ in pairs if must],
        "additionalProperties": False,
    }


def _type(text: str, groups: dict[str, str]) -> dict[str, Any]:
    if text in groups:
        return {"$ref": f"#/$defs/{text}"}
    if text[0] == "{":
        return {"type": "object", "additionalProperties": _type(text[1:-1], groups)}
    if text[0] == "[":
        return {"type": "array", "items": _type(text.rstrip("+")[1:-1], groups), "minItems": int(text[-1] == "+")}
    if "|" in text:
        return {"enum": [word for word in text.split("|") if word]}
    kind, _, least = text.partition(">=")
    return {**_TYPES[kind], **({"minimum": int(least)} if least else {})}
