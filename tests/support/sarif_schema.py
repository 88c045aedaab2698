"""What the JSON schema of SARIF 2.1.0 says of the objects that we write, and a judge by it.

The definitions are those of sarif-schema-2.1.0.json (OASIS, draft-07) without their descriptions
and, of each object, without the properties that we do not write: one of these is refused as
unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

STRING = {"type": "string"}
BAG = {"type": "object", "open": True}
MULTIFORMAT = {"$ref": "multiformatMessageString"}
INDEX = {"type": "integer", "minimum": -1}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
GUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$"


def _many(name: str, *, unique: bool = False) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": name}, "uniqueItems": unique}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    properties.setdefault("properties", BAG)
    return {"type": "object", "required": required, "properties": properties}


DEFINITIONS: dict[str, dict[str, Any]] = {
    "log": {
        "type": "object",
        "required": ("version", "runs"),
        "properties": {
            "$schema": {"type": "string", "format": "uri"},
            "version": {"enum": ["2.1.0"]},
            "runs": _many("run"),
        },
    },
    "run": _object(
        "tool",
        tool={"$ref": "tool"},
        invocations=_many("invocation"),
        columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        results=_many("result"),
    ),
    "tool": _object("driver", driver={"$ref": "toolComponent"}),
    "toolComponent": _object(
        "name",
        name=STRING,
        version=STRING,
        semanticVersion=STRING,
        informationUri={"type": "string", "format": "uri"},
        guid={"type": "string", "pattern": GUID},
        rules=_many("reportingDescriptor", unique=True),
    ),
    "reportingDescriptor": _object(
        "id",
        id=STRING,
        name=STRING,
        shortDescription=MULTIFORMAT,
        fullDescription=MULTIFORMAT,
        help=MULTIFORMAT,
        defaultConfiguration={"$ref": "reportingConfiguration"},
    ),
    "reportingConfiguration": _object(enabled={"type": "boolean"}, level=LEVEL),
    "multiformatMessageString": _object("text", text=STRING, markdown=STRING),
    "invocation": _object(
        "executionSuccessful",
        executionSuccessful={"type": "boolean"},
        startTimeUtc={"type": "string", "format": "date-time"},
        toolExecutionNotifications=_many("notification"),
    ),
    "notification": _object(
        "message",
        message={"$ref": "message"},
        level=LEVEL,
        descriptor={"$ref": "reportingDescriptorReference"},
    ),
    "reportingDescriptorReference": _object("id", id=STRING, index=INDEX),
    "message": _object("text", text=STRING, markdown=STRING),
    "result": _object(
        "message",
        ruleId=STRING,
        ruleIndex=INDEX,
        kind={"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
        level=LEVEL,
        message={"$ref": "message"},
        locations=_many("location"),
        partialFingerprints={"type": "object", "values": STRING},
    ),
    "location": _object(
        physicalLocation={"$ref": "physicalLocation"},
        logicalLocations=_many("logicalLocation", unique=True),
    ),
    "physicalLocation": _object(
        "artifactLocation", artifactLocation={"$ref": "artifactLocation"}, region={"$ref": "region"}
    ),
    "artifactLocation": _object(uri={"type": "string", "format": "uri-reference"}),
    "region": _object(startLine={"type": "integer", "minimum": 1}),
    "logicalLocation": _object(name=STRING, fullyQualifiedName=STRING, kind=STRING, index=INDEX),
}
_TYPES: dict[str, type] = {
    "string": str,
    "array": list,
    "object": dict,
    "integer": int,
    "boolean": bool,
}
# RFC 3986: what may stand in a URI, percent signs only before two digits
_URI = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")


def breaches(log: Any) -> list[str]:
    """What the schema does not allow in `log`."""
    return list(_judged(log, {"$ref": "log"}, "$"))


def _judged(value: Any, rule: dict[str, Any], where: str) -> Iterator[str]:
    rule = DEFINITIONS[rule["$ref"]] if "$ref" in rule else rule
    if "enum" in rule and value not in rule["enum"]:
        yield f"{where}: {value!r} is none of {rule['enum']}"
    kind = rule.get("type")
    if kind is not None and (
        not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool))
    ):
        yield f"{where}: {type(value).__name__} is no {kind}"
        return
    if kind == "integer" and value < rule.get("minimum", value):
        yield f"{where}: {value} is too low"
    if kind == "string":
        yield from _text(value, rule, where)
    if kind == "array":
        for number, one in enumerate(value):
            yield from _judged(one, rule["items"], f"{where}[{number}]")
        if rule["uniqueItems"] and any(one in value[:n] for n, one in enumerate(value)):
            yield f"{where}: an item stands twice"
    if kind == "object" and "values" in rule:
        for key, one in value.items():
            yield from _judged(one, rule["values"], f"{where}.{key}")
    elif kind == "object" and not rule.get("open"):
        yield from (f"{where}: {key} is missing" for key in rule["required"] if key not in value)
        for key, one in value.items():
            if key in rule["properties"]:
                yield from _judged(one, rule["properties"][key], f"{where}.{key}")
            else:
                yield f"{where}: {key} is not known"


def _text(value: str, rule: dict[str, Any], where: str) -> Iterator[str]:
    if "pattern" in rule and not re.search(rule["pattern"], value):
        yield f"{where}: {value!r} does not match"
    shape = rule.get("format")
    if shape == "date-time":
        try:
            if datetime.fromisoformat(value).tzinfo is None:
                yield f"{where}: {value!r} has no zone"
        except ValueError:
            yield f"{where}: {value!r} is no date"
    if shape in ("uri", "uri-reference"):
        try:
            scheme = urlsplit(value).scheme
        except ValueError:
            scheme = ""
            yield f"{where}: {value!r} cannot be taken apart"
        if not _URI.fullmatch(value) or (shape == "uri" and not scheme):
            yield f"{where}: {value!r} is no {shape}"
