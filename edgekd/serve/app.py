"""The service as a FastAPI application: routes and their description. No page of it asks another host."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response

from edgekd.plain import to_plain
from edgekd.serve import gate, schemas
from edgekd.serve.keys import Keys
from edgekd.serve.limits import Limits
from edgekd.serve.metrics import CONTENT_TYPE, Metrics
from edgekd.serve.person import fields_of, read_anyway, read_person, unseen
from edgekd.serve.pool import Found, Pool
from edgekd.serve.refusal import STATUS, Reason, Refusal
from edgekd.serve.source import Served
from edgekd.serve.upload import Held, Upload, read_upload

Responses = dict[int | str, dict[str, Any]]
_COMPACT = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_BY_STATUS = {status: reason for reason, status in STATUS.items()}


class Service:
    """What the routes share: the model, the workers, the limits."""

    def __init__(self, served: Served, pool: Pool, limits: Limits) -> None:
        self.served, self.pool, self.limits = served, pool, limits
        self.stopping = False
        self.held = Held(limits.held_bytes)
        self.fields = fields_of(served.card)
        self.model = {
            "name": served.card.name,
            "precision": served.card.precision,
            "sha256": served.model_sha256,
            "card_sha256": served.card_sha256,
            "engine": pool.engine,
        }
        self._same = _COMPACT.encode(
            {
                "schema": schemas.ANSWER_SCHEMA,
                "operating_point": to_plain(served.card.operating_point),
                "model": self.model,
                "intended_use": served.card.intended_use,
            }
        )
        self.metrics = Metrics(pool, lambda: self.held.now, self.model)

    async def predict(self, request: Request) -> Response:
        """The model's answer about the picture in the body of `request`."""
        began = time.perf_counter()
        with self.held.share() as take:
            upload = await self._read(request, take)
            received = time.perf_counter()
            told = [*request.query_params.multi_items(), *upload.fields.items()]
            anyway, told = read_anyway(told)
            person = read_person(told, self.fields)
            found = await self.pool.ask(upload.image, {"person": person, "anyway": anyway})
        seconds = {"receive": received - began, **found.seconds}
        self.metrics.stages(seconds)
        return self._answer(found, person, seconds)

    async def _read(self, request: Request, take: Callable[[int], None]) -> Upload:
        head = request.headers
        return await read_upload(
            head.get("content-type"),
            head.get("content-length"),
            request.receive,
            self.limits,
            take,
        )

    def _answer(self, found: Found, person: dict[str, Any], seconds: dict[str, float]) -> Response:
        """The answer of a worker with what is the same in all, and what only the server knows."""
        timings = {stage: round(1e3 * spent, 3) for stage, spent in seconds.items()}
        odd = unseen(self.served.card, person) if person else []
        more = {"timings_ms": timings, **({"unseen": odd} if odd else {})}
        # Three JSON objects put together as text: to read them first would cost as much as all the rest.
        text = f"{self._same[:-1]},{found.text[1:-1]},{_COMPACT.encode(more)[1:]}"
        return Response(text, media_type="application/json")

    async def card(self) -> Response:
        """The card of the model: `model.card_sha256` of an answer is of these bytes."""
        return Response(self.served.card_json, media_type="application/json")

    async def health(self) -> Response:
        """Whether the process answers at all."""
        return _json({"status": "alive"})

    async def ready(self) -> Response:
        """Whether pictures are answered: 503 while no worker is running, and while the service stops."""
        status = "stopping" if self.stopping else "ready" if self.pool.living else "no worker"
        return _json({"status": status, "workers": self.pool.living}, 200 if status == "ready" else 503)

    async def counts(self) -> Response:
        """Counts and times for Prometheus."""
        return Response(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def front(self) -> Response:
        """What this is and how to ask it, for people."""
        return PlainTextResponse(
            f"edgekd serve: {self.served.card.name}\n{self.served.card.intended_use}\n\n"
            f"curl -F image=@lesion.jpg URL{gate.PREDICT}\n"
            f"{gate.CARD}  {gate.OPENAPI}  {gate.HEALTH}  {gate.READY}  {gate.METRICS}\n"
        )


def build(service: Service, *, keys: Keys, origins: tuple[str, ...] = (), root_path: str = "") -> Any:
    """The ASGI application of `service`; pages of `origins`, and of no others, may read its answers.

    `root_path` is what a proxy in front takes off the path of a request.
    """
    app = FastAPI(
        title=f"edgekd serve: {service.served.card.name}",
        version=version("edgekd"),
        description=service.served.card.intended_use,
        docs_url=None,  # its pages load scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        root_path=root_path,
        separate_input_output_schemas=False,
    )
    _add_routes(app, service)
    _describe(app, secured=bool(keys))
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _not_found)
    passed = gate.Gate(app, service.predict, pool=service.pool, keys=keys, metrics=service.metrics)
    if not origins:
        return passed
    return CORSMiddleware(
        passed,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "X-API-Key"],
        expose_headers=["Retry-After"],
    )


def _add_routes(app: FastAPI, service: Service) -> None:
    app.post(
        gate.PREDICT,
        operation_id="predict",
        response_class=JSONResponse,
        responses=schemas.PREDICT_RESPONSES,
        openapi_extra=schemas.predict_request(service.fields),
    )(service.predict)
    _get(app, gate.CARD, service.card, schemas.refusals(Reason.NO_KEY))
    _get(app, gate.HEALTH, service.health)
    _get(app, gate.READY, service.ready, {503: {"description": "No pictures are answered now."}})
    _get(app, gate.METRICS, service.counts, schemas.refusals(Reason.NO_KEY), kind=Response)
    app.get("/", include_in_schema=False)(service.front)


def _get(
    app: FastAPI,
    path: str,
    endpoint: Callable[[], Awaitable[Response]],
    responses: Responses | None = None,
    kind: type[Response] = JSONResponse,
) -> None:
    text: Responses = {200: {"description": "Text for Prometheus.", "content": {"text/plain": {}}}}
    more = text if kind is Response else {}
    app.get(
        path,
        operation_id=path.rpartition("/")[2],
        response_class=kind,
        responses={**more, **(responses or {})},
    )(endpoint)


def _describe(app: FastAPI, *, secured: bool) -> None:
    """Put the schemas, and the key where one is asked for, into the description."""
    made = app.openapi()
    components = made.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas.COMPONENTS)
    if secured:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path in (gate.PREDICT, gate.CARD, gate.METRICS):
            for operation in made["paths"][path].values():
                operation["security"] = [{"key": []}]


async def _refused(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, Refusal):
        raise error
    return error.response()


async def _not_found(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself, in our words: an unknown path, another method."""
    del request
    if not isinstance(error, HTTPException):
        raise error
    reason = _BY_STATUS.get(error.status_code, Reason.BAD_REQUEST)
    response = Refusal(reason, f"{error.detail}: see {gate.OPENAPI}").response()
    response.headers.update(error.headers or {})
    return response


def _json(value: Any, status: int = 200) -> Response:
    return Response(_COMPACT.encode(value), status, media_type="application/json")
