"""The pages of the review app and what they post to.

Here: routes, sessions, forms → desk → templates. Not here: checks that hold for every request (guard.py), what is
served to whom (desk.py), markup (templates/).

    GET  /            the item in hand, or what comes next    ?edit=1 to fix it, ?again=1 for skipped items
    POST /decide      example_id, item_version, token, decision | reject (a reason code), words, seconds
    POST /edit        example_id, item_version, token, seconds, field.<name>
    POST /undo        decision_id                             POST /renew  example_id
    GET  /verdicts    item                                    GET  /team   (leads)
    GET, POST /sign-in                                        POST /sign-out    GET /openapi.json

With `Accept: application/json` answers are JSON; with `X-Review-Fragment: 1` the page's <main> alone.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from synth_assets.errors import StoreError
from synth_assets.review.accounts import LEAD, SESSION_SECONDS, Accounts, Session, Sessions, clean_name
from synth_assets.review.app.desk import Desk, Given, LiveBound, Refused, Served
from synth_assets.review.app.editing import form_of, read_form, write_record
from synth_assets.review.app.guard import (
    BODY,
    BadRequest,
    Guard,
    Rate,
    RateLimiter,
    csrf_matches,
    csrf_token,
    read_fields,
)
from synth_assets.review.app.items import view_item
from synth_assets.review.app.openapi import describe_api
from synth_assets.review.app.work import WorkSource
from synth_assets.review.decisions import ACCEPT, DECISIONS, FLAG, MAX_REASON, REASONS, REJECT, SKIP, DecisionStore
from synth_assets.spec import DatasetSpec

HERE = Path(__file__).parent
FRAGMENT = "x-review-fragment"
MOST_SEEDS = 6
_MOST_TOKEN = 100
_STATIC = {"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8"}
_SAID = {ACCEPT: "Accepted.", REJECT: "Rejected.", FLAG: "Flagged.", SKIP: "Skipped."}
_TOKENS = Rate(burst=20, per_second=0.2)
_NAMES = Rate(burst=100, per_second=1)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AppSettings:
    """How the app is served.

    hosts: what the Host header may say. accounts_only: nobody gets in without an account, even while there is none.
    cookie: its name. next_step: what happens once everything is decided, for people. requests: most of one session.
    """

    hosts: frozenset[str]
    accounts_only: bool = False
    cookie: str = "synth_review"
    next_step: str = ""
    requests: Rate = field(default_factory=lambda: Rate(burst=60, per_second=20))


def create_app(
    spec: DatasetSpec,
    round_: str,
    source: WorkSource,
    store: DecisionStore,
    settings: AppSettings,
    *,
    live_bound: LiveBound | None = None,
) -> ASGIApp:
    """Return the ASGI app of one round's review.

    live_bound: an optional hook, see Desk: the only bound that may be looked at while the review is open is one that
    holds at any time (sequences.confidence_sequence).
    """
    pages = _Pages(Desk(spec, round_, source, store, live_bound=live_bound), store, settings)
    routes = [
        Route("/", pages.show, methods=["GET"]),
        Route("/decide", pages.decide, methods=["POST"]),
        Route("/edit", pages.edit, methods=["POST"]),
        Route("/undo", pages.undo, methods=["POST"]),
        Route("/renew", pages.renew, methods=["POST"]),
        Route("/verdicts", pages.verdicts, methods=["GET"]),
        Route("/team", pages.team, methods=["GET"]),
        Route("/openapi.json", pages.describe, methods=["GET"]),
        Route("/sign-in", pages.sign_in, methods=["GET", "POST"]),
        Route("/sign-out", pages.sign_out, methods=["POST"]),
        *(Route(f"/static/{name}", pages.static, methods=["GET"], name=name) for name in _STATIC),
    ]
    refusals = (_SignedOut, Refused, BadRequest, StoreError, HTTPException, Exception)
    app = Starlette(routes=routes, exception_handlers=dict.fromkeys(refusals, pages.refuse))
    return Guard(app, settings.hosts)


class _SignedOut(Exception):
    """Nobody is signed in."""


class _Pages:
    def __init__(self, desk: Desk, store: DecisionStore, settings: AppSettings) -> None:
        self._desk = desk
        self._settings = settings
        self._accounts = Accounts(store.database)
        self._sessions = Sessions(store.database)
        self._requests = RateLimiter(settings.requests)
        self._tokens = RateLimiter(_TOKENS)
        self._names = RateLimiter(_NAMES)
        self._files = {name: (HERE / "static" / name).read_bytes() for name in _STATIC}
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    # ---- reviewing

    def show(self, request: Request) -> Response:
        session = self._require_session(request)
        served = self._desk.serve(session.reviewer, again=request.query_params.get("again") == "1")
        return self._answer(request, session, served, editing=request.query_params.get("edit") == "1")

    def decide(self, request: Request) -> Response:
        session, form = self._require_form(request)
        decision = REJECT if "reject" in form else form.get("decision", "")
        if decision not in DECISIONS:
            raise Refused(422, f"A decision is one of {', '.join(DECISIONS)}.")
        given = _read_decision(form, decision, _read_reason(form, decision))
        decision_id, following = self._desk.decide(session.reviewer, given)
        return self._acknowledge(request, session, _SAID[decision], decision_id, following)

    def edit(self, request: Request) -> Response:
        session, form = self._require_form(request)
        given = _read_decision(form, REJECT, "")
        position = self._desk.require_seen(session.reviewer, given.example_id)
        work = self._desk.work
        original = work.content(position)
        record, errors = read_form(work, original, form)
        if not errors and record == original:
            errors = {"": "Nothing was changed. Accept the item if it is good as it is."}
        if errors:
            served = Served(position, given.example_id, given.item_version, given.token)
            return self._answer(request, session, served, editing=True, record=record, errors=errors, status=422)
        decision_id, following = self._desk.decide(session.reviewer, given, write_record(record))
        return self._acknowledge(request, session, "Fixed.", decision_id, following)

    def undo(self, request: Request) -> Response:
        session, form = self._require_form(request)
        served = self._desk.undo(session.reviewer, form.get("decision_id"))
        if _wants(request, "json") or FRAGMENT in request.headers:
            return self._answer(request, session, served, said="Taken back.")
        return RedirectResponse("/", 303)

    def renew(self, request: Request) -> Response:
        session, form = self._require_form(request)
        self._desk.renew(session.reviewer, form.get("example_id", ""))
        return Response(status_code=204)

    def verdicts(self, request: Request) -> Response:
        session = self._require_session(request)
        position = self._desk.require_seen(session.reviewer, request.query_params.get("item", ""))
        found = self._desk.work.verdicts(position)
        if _wants(request, "json"):
            return JSONResponse({"verdicts": found})
        return self._page(request, session, "verdicts", verdicts=found)

    def team(self, request: Request) -> Response:
        session = self._require_session(request)
        if session.role != LEAD:
            raise Refused(403, "Only whoever leads the review sees this.")
        team = self._desk.team()
        if _wants(request, "json"):
            return JSONResponse({name: {**asdict(share), "decided": share.decided} for name, share in team})
        return self._page(request, session, "team", team=team, progress=self._desk.progress(session.reviewer))

    def describe(self, request: Request) -> Response:
        self._require_session(request)
        return JSONResponse(describe_api(self._settings.cookie))

    # ---- signing in

    def sign_in(self, request: Request) -> Response:
        by_account = self._settings.accounts_only or self._accounts.exist()
        secret = self._secret(request) or secrets.token_urlsafe(32)
        error, status, name = "", 200, ""
        if request.method == "POST":
            form = self._form(request, secret)
            name = form.get("name", "")
            client = request.client.host if request.client else ""
            self._limit(self._tokens if by_account else self._names, client)
            try:
                return self._admit(request, clean_name(name), form.get("token", ""), by_account=by_account)
            except StoreError as refused:
                error, status = f"{str(refused)[0].upper()}{str(refused)[1:]}.", 422
            except Refused as refused:
                error, status = str(refused), refused.status
        if _wants(request, "json"):
            told = {"csrf": csrf_token(secret), "by_account": by_account, **({"error": error} if error else {})}
            answer: Response = JSONResponse(told, status)
        else:
            shown = {"by_account": by_account, "error": error, "name": name}
            answer = self._page(request, None, "sign_in", secret=secret, status=status, **shown)
        self._set_cookie(request, answer, secret)
        return answer

    def sign_out(self, request: Request) -> Response:
        self._require_form(request)
        self._sessions.close(self._secret(request))
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(self._settings.cookie, httponly=True, samesite="strict")
        return answer

    def static(self, request: Request) -> Response:
        name = request.url.path.removeprefix("/static/")
        return Response(self._files[name], media_type=_STATIC[name])

    def _admit(self, request: Request, name: str, token: str, *, by_account: bool) -> Response:
        if by_account and not self._accounts.verify(name, token):
            raise Refused(401, "Name and token do not belong together, or the account has ended.")
        self._sessions.close(self._secret(request))
        secret = self._sessions.open(name, by_account=by_account)
        told = {"reviewer": name, "csrf": csrf_token(secret)}
        answer = JSONResponse(told) if _wants(request, "json") else RedirectResponse("/", 303)
        self._set_cookie(request, answer, secret)
        return answer

    # ---- answers

    def refuse(self, request: Request, error: Exception) -> Response:
        if isinstance(error, _SignedOut):
            plain = _wants(request, "json") or FRAGMENT in request.headers
            return JSONResponse({"error": "Sign in first."}, 401) if plain else RedirectResponse("/sign-in", 303)
        headers = None
        if isinstance(error, Refused | BadRequest):
            status, message = error.status, str(error)
        elif isinstance(error, StoreError):
            _log.error("%s", error)
            status, message = 503, "The review database does not answer; nothing was stored. Try again in a moment."
        elif isinstance(error, HTTPException):
            status, headers = error.status_code, error.headers
            message = "There is nothing here." if status == 404 else error.detail
        else:
            status, message = 500, "Something went wrong here; nothing was stored."
        if isinstance(error, _TooFast):
            headers = {"retry-after": str(math.ceil(error.wait))}
        if _wants(request, "json"):
            return JSONResponse({"error": message}, status, headers=headers)
        answer = self._page(request, None, "message", message=message, status=status, secret=self._secret(request))
        answer.headers.update(headers or {})
        return answer

    def _acknowledge(
        self, request: Request, session: Session, said: str, decision_id: str, following: Served | None
    ) -> Response:
        if _wants(request, "json") or FRAGMENT in request.headers:
            return self._answer(request, session, following, said=said, decision_id=decision_id)
        return RedirectResponse("/", 303)

    def _answer(
        self,
        request: Request,
        session: Session,
        served: Served | None,
        *,
        said: str = "",
        decision_id: str | None = None,
        editing: bool = False,
        record: dict[str, Any] | None = None,
        errors: dict[str, str] | None = None,
        status: int = 200,
    ) -> Response:
        desk = self._desk
        progress = desk.progress(session.reviewer)
        content = desk.work.content(served.position) if served else None
        if _wants(request, "json"):
            item = None if served is None else {**asdict(served), "content": content}
            if item:
                del item["position"]
            csrf = csrf_token(self._secret(request))
            told = {"item": item, "progress": asdict(progress), "errors": errors or {}, "csrf": csrf}
            return _json({**told, "decision_id": decision_id} if decision_id else told, status)
        shown: dict[str, Any] = {"said": said, "served": served, "progress": progress, "editing": editing and served}
        if served and content is not None:
            seeds, withheld = desk.work.seeds(served.position)
            shown |= {
                "item": view_item(desk.spec, content),
                "seeds": [view_item(desk.spec, seed) for seed in seeds[:MOST_SEEDS]],
                "more_seeds": max(0, len(seeds) - MOST_SEEDS),
                "withheld": withheld,
                "inputs": form_of(desk.work, record or content, errors) if editing else (),
                "error": (errors or {}).get("", ""),
            }
        return self._page(request, session, "desk", status=status, **shown)

    def _page(
        self, request: Request, session: Session | None, page: str, *, status: int = 200, secret: str = "", **shown: Any
    ) -> Response:
        template = self._templates.get_template(f"{page}.jinja")
        secret = secret or self._secret(request)
        return HTMLResponse(
            template.render(
                layout="fragment.jinja" if FRAGMENT in request.headers else "page.jinja",
                spec=self._desk.spec,
                round=self._desk.round,
                session=session,
                csrf=csrf_token(secret) if secret else "",
                reasons=REASONS,
                next_step=self._settings.next_step,
                **shown,
            ),
            status,
        )

    # ---- who asks

    def _secret(self, request: Request) -> str:
        return request.cookies.get(self._settings.cookie, "")

    def _set_cookie(self, request: Request, answer: Response, secret: str) -> None:
        answer.set_cookie(
            self._settings.cookie,
            secret,
            max_age=int(SESSION_SECONDS),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def _require_session(self, request: Request) -> Session:
        secret = self._secret(request)
        session = self._sessions.find(secret) if secret else None
        if session is None or (self._settings.accounts_only and not session.by_account):
            raise _SignedOut
        self._limit(self._requests, secret)
        return session

    def _require_form(self, request: Request) -> tuple[Session, dict[str, str]]:
        session = self._require_session(request)
        return session, self._form(request, self._secret(request))

    def _form(self, request: Request, secret: str) -> dict[str, str]:
        form = read_fields(request.scope[BODY], request.headers.get("content-type", ""))
        sent = request.headers.get("x-csrf-token") or form.get("csrf", "")
        if not csrf_matches(secret, sent):
            raise Refused(403, "This form is out of date; nothing was stored. Open the page again.")
        return form

    def _limit(self, limiter: RateLimiter, key: str) -> None:
        wait = limiter.wait_for(key)
        if wait:
            raise _TooFast(wait)


class _TooFast(Refused):
    def __init__(self, wait: float) -> None:
        super().__init__(429, "That was too fast; wait a moment.")
        self.wait = wait


def _read_decision(form: dict[str, str], decision: str, reason: str) -> Given:
    token = form.get("token", "")
    if not 0 < len(token) <= _MOST_TOKEN:
        raise Refused(422, f"A token has 1 to {_MOST_TOKEN} characters.")
    return Given(form.get("example_id", ""), form.get("item_version", ""), decision, token, reason, _read_seconds(form))


def _read_reason(form: dict[str, str], decision: str) -> str:
    words = " ".join(form.get("words", "").split())
    if decision != REJECT:
        return words[:MAX_REASON]
    code = form.get("reject") or form.get("reason", "")
    if code not in REASONS:
        raise Refused(422, f"A reject needs a reason: {', '.join(REASONS)}.")
    return f"{code}: {words}"[:MAX_REASON] if words else code


def _read_seconds(form: dict[str, str]) -> float | None:
    try:
        seconds = float(form.get("seconds", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _wants(request: Request, kind: str) -> bool:
    return f"application/{kind}" in request.headers.get("accept", "")


def _json(content: Any, status: int) -> Response:
    return Response(json.dumps(content, ensure_ascii=False, default=str), status, media_type="application/json")
