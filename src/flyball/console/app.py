"""The console as an ASGI application: its routes, each reading the ledger and rendering one page."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from flyball.console import charts
from flyball.console.cached_metrics import CachedMetrics
from flyball.console.chart_specs import (
    PALETTES,
    ChartStyle,
    Spec,
    curve_spec,
    curves_spec,
    latency_spec,
    quality_spec,
    traffic_spec,
)
from flyball.console.context import ConsoleContext
from flyball.console.front_page import choose_route, read_compared, read_findings, read_live, read_overview
from flyball.console.page_rendering import Pages, static_files
from flyball.console.playground import Form, Page, empty_page, form_of, posted_form, tried_page
from flyball.console.record_page import read_record
from flyball.console.request_list import Filters, read_answers, read_choices
from flyball.console.request_page import read_story
from flyball.console.rollouts import read_rollouts
from flyball.console.run_comparison import read_run_comparison
from flyball.console.security_middleware import SecurityMiddleware
from flyball.console.traffic import read_traffic
from flyball.console.versions import read_datasets, read_models
from flyball.errors import FlyballError, NotFoundError, RefusedError
from flyball.storage.ledger import now_ms
from flyball.telemetry import log

View = Callable[[Request], Response]
FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
THREADS = 2
"""Pages are read from the ledger in threads; a page takes milliseconds, a thread and its connection megabytes."""
TRIES = 2
"""Threads for tries, which may take minutes: one that works, and one that tells the next that it must wait."""
WIDTHS = {
    "traffic": {"wide": 640, "narrow": 330},
    "latency": {"wide": 640, "narrow": 330},
    "quality": {"wide": 440, "narrow": 330},
    "curve": {"wide": 640, "narrow": 330},
    "curves": {"wide": 1160, "narrow": 330},
}
CHART_STEP_MS = 15_000
"""Charts look at times of this grain, so that two looks shortly after each other are one drawing."""


def build_app(context: ConsoleContext) -> Starlette:
    """Every page of the console over one ledger."""
    views = Views(context)
    pages: dict[str, View] = {
        "/": views.front,
        "/live": views.live,
        "/requests": views.requests,
        "/requests/{name}": views.story,
        "/records/{name}": views.record,
        "/deployments": views.deployments,
        "/findings": views.findings,
        "/datasets": views.datasets,
        "/models": views.models,
        "/compare": views.compare,
        "/healthz": views.health,
        "/static/{name}": views.static,
    }
    routes = [Route(path, views.in_thread(view)) for path, view in pages.items()]
    routes.append(Route("/playground", views.playground, methods=["GET", "POST"]))
    routes.append(Route("/charts/{name}-{size}-{theme}.svg", views.chart))
    return Starlette(
        routes=routes,
        middleware=[Middleware(SecurityMiddleware)],
        exception_handlers={
            FlyballError: views.refused,
            HTTPException: views.refused,
            Exception: views.failed,
        },
    )


class Views:
    """What each route does; the ledger is only read, but for the playground's audit entry and cost."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._ledger = context.ledger
        self._root = context.root
        self._files = static_files()
        gateway = context.settings.gateway
        address = f"http://{gateway.host}:{gateway.port}"
        self._pages = Pages(project=context.settings.project, gateway=address, files=self._files)
        self._kept = CachedMetrics()
        self._charts = charts.ChartStore()
        self._threads = CapacityLimiter(THREADS)
        self._tries = CapacityLimiter(TRIES)
        self._token = secrets.token_urlsafe()

    def in_thread(self, view: View) -> Callable[[Request], Awaitable[Response]]:
        """The view as a coroutine, so that a slow ledger stops no other page."""

        async def endpoint(request: Request) -> Response:
            return await to_thread.run_sync(view, request, limiter=self._threads)

        return endpoint

    def front(self, request: Request) -> Response:
        """The loop."""
        return self._overview(request, "front.html")

    def live(self, request: Request) -> Response:
        """The parts of the front page that change."""
        return self._overview(request, "overview.html")

    def _overview(self, request: Request, template: str) -> Response:
        found = read_overview(self._ledger, self._kept, route=request.query_params.get("route"), now_ms=now_ms())
        return self._pages.page(
            template, page="loop", overview=found, now_ms=found.now_ms, drawable=charts.can_render()
        )

    def requests(self, request: Request) -> Response:
        """Requests in pages."""
        asked = {name: value.strip() or None for name, value in request.query_params.items()}
        filters = Filters(
            route=asked.get("route"),
            release=asked.get("release"),
            outcome=asked.get("outcome"),
            text=asked.get("text"),
        )
        before = asked.get("before") or ""
        before_seq = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
        return self._pages.page(
            "requests.html",
            page="requests",
            listed=read_answers(self._ledger, filters, before_seq=before_seq),
            filters=filters,
            choices=read_choices(self._ledger),
            before=before_seq,
            now_ms=now_ms(),
        )

    def story(self, request: Request) -> Response:
        """One answer's whole story."""
        found = read_story(self._ledger, request.path_params["name"])
        return self._pages.page("story.html", page="requests", story=found, now_ms=now_ms())

    def record(self, request: Request) -> Response:
        """One record and its edges."""
        found = read_record(self._ledger, request.path_params["name"], root=self._root)
        return self._pages.page(
            "record.html", page="records", found=found, now_ms=now_ms(), drawable=charts.can_render()
        )

    def deployments(self, _request: Request) -> Response:
        """Every deployment with its transitions."""
        found = read_rollouts(self._ledger)
        return self._pages.page("deployments.html", page="deployments", rollouts=found, now_ms=now_ms())

    def findings(self, _request: Request) -> Response:
        """Every finding, open ones first."""
        found = read_findings(self._ledger, limit=200)
        ordered = sorted(found, key=lambda noticed: not noticed.is_open)
        return self._pages.page("findings.html", page="findings", findings=ordered, now_ms=now_ms())

    def datasets(self, _request: Request) -> Response:
        """Dataset versions side by side."""
        found = read_datasets(self._ledger)
        return self._pages.page("versions.html", page="datasets", found=found, now_ms=now_ms())

    def models(self, _request: Request) -> Response:
        """Models side by side."""
        return self._pages.page("versions.html", page="models", found=read_models(self._ledger), now_ms=now_ms())

    def compare(self, request: Request) -> Response:
        """Chosen training runs side by side."""
        found = read_run_comparison(self._ledger, request.query_params.getlist("run"), root=self._root)
        summary = "; ".join(
            f"{run.label} from {run.curve[0].loss:.3g} to {run.curve[-1].loss:.3g} in {run.curve[-1].step} steps"
            for run in found.runs
            if run.curve
        )
        return self._pages.page(
            "comparison.html",
            page="models",
            found=found,
            summary=summary,
            now_ms=now_ms(),
            drawable=charts.can_render() and bool(summary),
        )

    async def playground(self, request: Request) -> Response:
        """Two releases, one input: the form, and after it was sent both answers."""
        form = await posted_form(request) if request.method == "POST" else form_of(request.query_params)
        view = self._try if request.method == "POST" else self._form
        return await to_thread.run_sync(view, form, limiter=self._tries)

    def _form(self, form: Form, error: FlyballError | None = None) -> Response:
        return self._playground(empty_page(self._context.playground, form), error)

    def _try(self, form: Form) -> Response:
        if not hmac.compare_digest(form.token.encode(), self._token.encode()):
            return self._form(form, RefusedError("the form is from before the console started", cure="send it again"))
        try:
            return self._playground(tried_page(self._context.playground, self._ledger, form), None)
        except FlyballError as error:
            return self._form(form, error)

    def _playground(self, page: Page, error: FlyballError | None) -> Response:
        return self._pages.page(
            "playground.html",
            page="playground",
            status=error.http_status if error else 200,
            found=page,
            error=error,
            token=self._token,
        )

    async def chart(self, request: Request) -> Response:
        """One chart in the colours of one scheme and the width of one screen."""
        name, size, theme = (request.path_params[key] for key in ("name", "size", "theme"))
        if size not in WIDTHS.get(name, {}) or theme not in PALETTES:
            raise HTTPException(404)
        look = ChartStyle(theme=theme, width=WIDTHS[name][size])
        subjects = request.query_params.getlist("run" if name.startswith("curve") else "route")
        spec = await to_thread.run_sync(self._spec, name, look, subjects, limiter=self._threads)
        try:
            svg = await self._charts.svg(spec)
        except FlyballError as error:
            log.warning("chart %s: %s", name, error.message)
            return PlainTextResponse(f"{error}\n", status_code=503)
        return Response(svg, media_type="image/svg+xml", headers={"cache-control": "private, max-age=15"})

    def _spec(self, name: str, look: ChartStyle, subjects: list[str]) -> Spec:
        if name == "curves":
            return curves_spec(read_run_comparison(self._ledger, subjects, root=self._root).points(), look)
        subject = next(iter(subjects), None)
        if name == "curve":
            run = read_record(self._ledger, subject or "", root=self._root)
            return curve_spec([msgspec.to_builtins(point) for point in run.curve], look)
        chosen, known = choose_route(self._ledger, subject)
        if name == "quality":
            compared = read_compared(self._ledger, self._kept, read_live(self._ledger, chosen))
            return quality_spec([point for one in compared for point in one.points()], look)
        until = now_ms() // CHART_STEP_MS * CHART_STEP_MS
        found = read_traffic(self._ledger, route=chosen if known else None, now_ms=until)
        return (traffic_spec if name == "traffic" else latency_spec)(found.points(), look)

    def health(self, _request: Request) -> Response:
        """Whether the console answers; it asks nothing of the ledger."""
        return PlainTextResponse("ok\n")

    def static(self, request: Request) -> Response:
        """One of our own files."""
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        return Response(file.body, headers={**FOREVER, "content-type": file.media})

    def refused(self, _request: Request, error: Exception) -> Response:
        """A page that says what is wrong and what to do."""
        if isinstance(error, HTTPException):
            error = NotFoundError("there is no such page", cure="begin at the front page")
        assert isinstance(error, FlyballError)
        return self._pages.page("error.html", page="", status=error.http_status, error=error)

    def failed(self, _request: Request, error: Exception) -> Response:
        """Our bug: logged in full, shown in a sentence."""
        log.error("a page failed", exc_info=error)
        shown = FlyballError("this page failed; the reason is in the console's log", cure="see .flyball/logs")
        return self._pages.page("error.html", page="", status=500, error=shown)
