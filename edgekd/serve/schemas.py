"""What the answers look like, for the service's own description (OpenAPI); the same names as in the code."""

from __future__ import annotations

from typing import Any

from edgekd.serve.person import ANYWAY, Field
from edgekd.serve.refusal import STATUS, Reason
from edgekd.serve.upload import FORM, IMAGE, RAW
from edgekd.serve.worker import ALWAYS

ANSWER_SCHEMA = "edgekd.answer/1"
_BINARY = {"type": "string", "format": "binary"}
_NUMBER = {"type": "number"}
_REFUSAL = "#/components/schemas/Refusal"
_ANSWER = "#/components/schemas/Answer"

COMPONENTS: dict[str, Any] = {
    "Refusal": {
        "type": "object",
        "required": ["error", "detail"],
        "properties": {
            "error": {"type": "string", "enum": [reason.value for reason in Reason]},
            "detail": {"type": "string", "description": "What was received, what was expected, what to do."},
        },
        "additionalProperties": False,
    },
    "Answer": {
        "type": "object",
        "required": [
            *("schema", *ALWAYS, "operating_point", "picture", "model", "timings_ms", "intended_use"),
        ],
        "properties": {
            "schema": {"const": ANSWER_SCHEMA},
            "score": {
                "type": ["number", "null"],
                "description": "Log odds of malignancy, by the card's score rule; null, as are probability, "
                "malignant and logits, where the photo cannot be judged.",
            },
            "probability": {
                "type": ["number", "null"],
                "minimum": 0,
                "maximum": 1,
                "description": "The calibrated sigmoid of the score.",
            },
            "malignant": {
                "type": ["boolean", "null"],
                "description": "The call at the operating point; null too where the card has none.",
            },
            "borderline": {
                "type": "boolean",
                "description": "Whether the score lies in the card's band around the threshold; absent where "
                "the card has no band.",
            },
            "logits": {"type": ["object", "null"], "additionalProperties": _NUMBER},
            "photo": {
                "type": "object",
                "description": "What was measured of the photo (values) and the limits of the card that it "
                "does not hold (flags); absent where the card has no limits.",
                "properties": {
                    "values": {"type": "object", "additionalProperties": _NUMBER},
                    "flags": {"type": "array", "items": {"type": "object"}},
                },
            },
            "operating_point": {
                "type": ["object", "null"],
                "description": "Rule, threshold (in the unit of the score), the split it was fitted on, and "
                "the band around it where the card has one.",
            },
            "unseen": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Patient fields whose word training never saw: they counted as unknown.",
            },
            "picture": {
                "type": "object",
                "description": "Width and height of the upright picture in pixels.",
                "properties": {"width": {"type": "integer"}, "height": {"type": "integer"}},
            },
            "model": {
                "type": "object",
                "description": "Name, precision, sha256 of the model file and of the card, engine.",
                "additionalProperties": {"type": "string"},
            },
            "timings_ms": {
                "type": "object",
                "description": "Milliseconds by stage: receive, queue, decode, prepare, infer.",
                "additionalProperties": _NUMBER,
            },
            "intended_use": {"type": "string"},
        },
    },
}


def _json(reference: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": reference}}}


_MEANINGS: dict[Reason, str] = {
    Reason.BAD_REQUEST: "Malformed, empty, or telling what the model does not take.",
    Reason.NO_KEY: "The service asks for an API key: Authorization: Bearer KEY.",
    Reason.TOO_SLOW: "The body did not arrive in time.",
    Reason.TOO_LARGE: "More bytes or pixels than are taken here.",
    Reason.MEDIA_TYPE: "Neither a form nor an image.",
    Reason.NO_IMAGE: "No picture that can be decoded.",
    Reason.BUSY: "The queue is full: try again after the seconds in Retry-After.",
    Reason.NO_WORKER: "No worker is running: try again after the seconds in Retry-After.",
}


def refusals(*reasons: Reason) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that may refuse for these reasons."""
    return {
        STATUS[reason]: {"description": _MEANINGS[reason], "content": _json(_REFUSAL)} for reason in reasons
    }


PREDICT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The answer about one picture.", "content": _json(_ANSWER)},
    **refusals(*_MEANINGS),
}


def predict_request(fields: tuple[Field, ...]) -> dict[str, Any]:
    """Parameters and body of /api/predict for a model that takes these patient fields."""
    properties = {
        IMAGE: {**_BINARY, "description": "The image file: JPEG, PNG, BMP, WebP or TIFF."},
        **{field.name: field.schema() for field in (*fields, ANYWAY)},
    }
    form = {
        "type": "object",
        "required": [IMAGE],
        "properties": properties,
        "additionalProperties": False,
    }
    content = {FORM: {"schema": form}, **{kind: {"schema": _BINARY} for kind in RAW}}
    return {
        "parameters": [
            {"name": field.name, "in": "query", "required": False, "schema": field.schema()}
            for field in (*fields, ANYWAY)
        ],
        "requestBody": {"required": True, "content": content},
    }
