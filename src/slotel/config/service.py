"""The service: slotel.yaml and the environment, validated and merged into frozen objects. Reads no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from slotel.config import names
from slotel.config.duration import format_duration, parse_window
from slotel.config.monitoring import Monitoring
from slotel.config.problem import Problem, variable
from slotel.config.ratio import parse_limit, parse_ratio
from slotel.config.redaction.values import RedactionChoices
from slotel.config.sampling import Keep, RouteRate, SentryMode, SpanMatch, parse_late_wait
from slotel.config.slo import ENTRY_KINDS, HEALTH_ROUTES, HOUR, Selection, Slo, TimeSlices
from slotel.config.tags import TagPolicy, label_name

if TYPE_CHECKING:
    from slotel.config.file.schema import Document, SloDoc

T = TypeVar("T")

DEFAULT_LIMIT: Final = 0.01
DEFAULT_SLO: Final = "availability"
_MAX_DIGITS: Final = 9
DEFAULT_KEEP: Final = (Keep("errors"),)
ASGI_MESSAGES: Final = ("send", "receive")
HTTP_METRICS: Final = ("slotel", "sdk")


_OF_TRANSACTIONS: Final = ("keep", "keep_per_minute", "late_wait")
"""Settings of slotel.yaml's `sentry` that have an effect only in the mode `transactions`."""


@dataclass(frozen=True, slots=True)
class SentrySettings:
    """The settings for Sentry. `dsn` contains a key and is never logged.

    Args:
        traces_sample_rate: in [0, 1]; None leaves the decision to OTEL_TRACES_SAMPLER.
        project: name of the project, for the label `project` of `sentry_errors_total`; None: its number.
        mode: `transactions`, `sdk` or `otlp`.
        sample: rates by route, for requests that begin a trace here; the first match decides.
        keep: what is sent although it was sampled out, at most `keep_per_minute` traces a minute.
        late_wait: seconds that a transaction waits for children that end after its root, at most 10.
        error_detail: `adaptive` reads fewer local variables while many errors happen, `full` always all.
        roots: `requests` sends no transaction for a call to a database, a queue, another service or a template that
            no request or job makes, nor for a `sentry_sdk.start_span` in no transaction; `all` sends one for each.
        transaction_names: `route`, as OpenTelemetry names them, or `native`, as sentry-sdk's integrations do.
        logs: whether log records are sent as Sentry's logs.
    """

    dsn: str | None = field(default=None, repr=False)
    environment: str | None = None
    release: str | None = None
    project: str | None = None
    traces_sample_rate: float | None = None
    mode: str = "transactions"
    sample: tuple[RouteRate, ...] = ()
    keep: tuple[Keep, ...] = DEFAULT_KEEP
    keep_per_minute: int = 60
    late_wait: float = 0.2
    error_detail: str = "adaptive"
    roots: str = "requests"
    transaction_names: str = "route"
    logs: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """The configuration of a service.

    Args:
        name: None: OTEL_SERVICE_NAME.
        drop: spans that are neither counted nor exported, including their descendants.
        max_series: bound of the series of each metric.
        asgi_spans: the messages of an ASGI app that get a span each, of ASGI_MESSAGES.
        http_metrics: who adds up the frameworks' HTTP instruments, of HTTP_METRICS.
        page: whether the metrics address has the status page at `/`.
        sigterm: whether pending telemetry is sent before an unhandled SIGTERM ends the process.
    """

    name: str | None = None
    tags: TagPolicy = field(default_factory=TagPolicy)
    slos: tuple[Slo, ...] = ()
    sentry: SentrySettings = field(default_factory=SentrySettings)
    drop: tuple[SpanMatch, ...] = ()
    max_series: int = 2000
    asgi_spans: tuple[str, ...] = ()
    http_metrics: str = "slotel"
    sigterm: bool = True
    page: bool = True
    monitoring: Monitoring = field(default_factory=Monitoring)
    redaction: RedactionChoices = field(default_factory=RedactionChoices)


@dataclass(frozen=True, slots=True)
class Reading:
    """A service as read, with the problems that were found.

    Args:
        notes: settings of the file without effect, a sentence each.
    """

    service: Service
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def read_service(environ: Mapping[str, str], text: str | None = None, source: str = "slotel.yaml") -> Reading:
    """Return the service. The environment overrides the file, and the file overrides defaults.

    Args:
        text: the content of slotel.yaml; None if there is no file.
        source: the file's name, as problems name it.
    """
    if text is None:
        problems: list[Problem] = []
        return Reading(_with_environment(Service(), environ, problems), tuple(problems))
    from slotel.config.file.document import read_document

    document, wrong = read_document(text, source)
    problems = list(wrong)
    declared = _from_document(document)
    service = _with_environment(declared, environ, problems)
    notes = (
        *_idle(source, document, service.sentry.mode),
        *_overridden(source, declared, service, environ),
        *_differing(source, document, service, environ),
    )
    return Reading(service, tuple(problems), notes)


def _overridden(
    source: str, declared: Service, service: Service, environ: Mapping[str, str]
) -> Iterator[str]:
    """Say where the environment and the file give one objective two values."""
    for before, now in product(declared.slos, service.slos):
        if before.name == now.name == DEFAULT_SLO and before.limit != now.limit:
            yield (
                f"{names.ERROR_BUDGET_LIMIT}={environ[names.ERROR_BUDGET_LIMIT].strip()} (an objective of "
                f"{now.objective * 100:.10g}%) overrides {source} ({before.objective * 100:.10g}%): rules that "
                "are generated without this variable alert on the file's objective; keep the objective in one place "
                "[SLO103]"
            )


def _differing(
    source: str, document: Document, service: Service, environ: Mapping[str, str]
) -> Iterator[str]:
    """Say which other values of the file the environment overrides: a line for each variable."""
    of_sentry: dict[str, tuple[str, Callable[[Any], str]]] = {
        names.SENTRY_TRACES_SAMPLE_RATE: ("traces_sample_rate", "{:.10g}".format),
        names.SLOTEL_SENTRY_MODE: ("mode", str),
        names.SLOTEL_SENTRY_LATE_WAIT: ("late_wait", format_duration),
        names.SENTRY_PROJECT: ("project", str),
    }
    found: dict[str, list[str]] = {}
    for name, (key, shown) in of_sentry.items():
        stated = getattr(document.sentry, key)
        stated = stated.strip() if isinstance(stated, str) else stated
        if stated is not None and stated != getattr(service.sentry, key):
            found[name] = [f"sentry.{key} ({shown(stated)})"]
    windows = {slo.name: slo.window for slo in service.slos}
    for slo in document.slos:
        if slo.window is not None and slo.window != windows.get(slo.name):
            text = f"slos.{slo.name}.window ({format_duration(slo.window)})"
            found.setdefault(names.ERROR_BUDGET_WINDOW, []).append(text)
    for name, keys in found.items():
        value = environ.get(name, "").strip()
        if value:
            yield f"{name}={value} overrides {source} {', '.join(keys)}: keep it in one place [SLO103]"


def _idle(source: str, document: Document, mode: str) -> Iterator[str]:
    given = [f"sentry.{name}" for name in _OF_TRANSACTIONS if getattr(document.sentry, name) is not None]
    if given and mode != SentrySettings().mode:
        why = "no trace leaves" if mode == "errors" else "spans leave before it is known how their trace ends"
        yield (
            f"{source} {', '.join(given)}: without effect in sentry.mode {mode}, where {why}: "
            "set the mode (or SLOTEL_SENTRY_MODE) to transactions, or leave this out"
        )


def _from_document(document: Document) -> Service:
    slos: dict[str, Slo] = {}
    for slo in document.slos:
        slos.setdefault(slo.name, _slo(slo))  # the document named the second of a name, with its line
    sentry = {key: value for key, value in document.sentry._asdict().items() if value is not None}
    sentry["project"] = (document.sentry.project or "").strip() or None
    return Service(
        document.service,
        document.tags._replace(metric_labels=_distinct(document.tags.metric_labels)),
        tuple(slos.values()),
        SentrySettings(**sentry),
        drop=document.spans.drop,
        monitoring=document.monitoring,
        redaction=document.redaction,
    )


def _distinct(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the tags of which each is a label of its own; of two that are one the document named the second."""
    labels: dict[str, str] = {}
    for tag in tags:
        labels.setdefault(label_name(tag), tag)
    return tuple(labels.values())


def _slo(doc: SloDoc) -> Slo:
    limit = doc.error_budget if doc.error_budget is not None else _complement(doc.objective or 0.0)
    objective = doc.objective if doc.objective is not None else _complement(limit)
    exclude: dict[str, tuple[str, ...]] = {"http.route": HEALTH_ROUTES, **doc.exclude}
    return Slo(
        name=doc.name,
        limit=limit,
        objective=objective,
        period=doc.period,
        latency=doc.latency,
        window=doc.window or HOUR,
        select=Selection(doc.kinds or ENTRY_KINDS, dict(doc.include), exclude),
        bad=doc.bad,
        slices=TimeSlices(doc.time_slices.length, doc.time_slices.limit) if doc.time_slices else None,
        description=doc.description,
        runbook=doc.runbook,
    )


def _complement(ratio: float) -> float:
    """1 − ratio, of the decimal that the float was written as."""
    return float(1 - parse_ratio(repr(ratio)))


def _with_environment(service: Service, environ: Mapping[str, str], problems: list[Problem]) -> Service:
    def text(name: str) -> str | None:
        return environ.get(name, "").strip() or None

    def read(name: str, parse: Callable[[str], T], default: T, shown: str) -> T:
        value = text(name)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as error:
            expected = str(error).removeprefix(f"{value!r}: ").removeprefix(f"{value!r} ")
            problems.append(Problem(variable(name, value), expected, f"using the default, {shown}"))
            return default

    sentry = service.sentry
    modes, late_wait = get_args(SentryMode), format_duration(sentry.late_wait)
    return replace(
        service,
        slos=_with_limit(
            service.slos,
            read(names.ERROR_BUDGET_LIMIT, lambda limit: float(parse_limit(limit)), None, "1%"),
            read(names.ERROR_BUDGET_WINDOW, parse_window, None, "1h"),
        ),
        sentry=replace(
            sentry,
            dsn=text(names.SENTRY_DSN),
            environment=text(names.SENTRY_ENVIRONMENT),
            release=text(names.SENTRY_RELEASE),
            project=text(names.SENTRY_PROJECT) or sentry.project,
            traces_sample_rate=read(
                names.SENTRY_TRACES_SAMPLE_RATE, _rate, sentry.traces_sample_rate, "OTEL_TRACES_SAMPLER's"
            ),
            mode=read(names.SLOTEL_SENTRY_MODE, _one_of(modes), sentry.mode, sentry.mode),
            late_wait=read(names.SLOTEL_SENTRY_LATE_WAIT, parse_late_wait, sentry.late_wait, late_wait),
        ),
        sigterm=read(names.SLOTEL_HANDLE_SIGTERM, _either("true", "false"), service.sigterm, "true"),
        max_series=read(names.SLOTEL_MAX_SERIES, _positive, service.max_series, str(service.max_series)),
        asgi_spans=read(names.SLOTEL_ASGI_SPANS, _asgi_spans, service.asgi_spans, "none"),
        http_metrics=read(names.SLOTEL_HTTP_METRICS, _one_of(HTTP_METRICS), service.http_metrics, "slotel"),
        page=read(names.SLOTEL_PAGE, _either("on", "off"), service.page, "on"),
    )


def _with_limit(slos: tuple[Slo, ...], limit: float | None, window: float | None) -> tuple[Slo, ...]:
    """ERROR_BUDGET_LIMIT sets the limit of the objective `availability`, which is there when no other is."""
    if not slos or (limit is not None and all(slo.name != DEFAULT_SLO for slo in slos)):
        default = Slo(DEFAULT_SLO, DEFAULT_LIMIT, _complement(DEFAULT_LIMIT))
        slos = (default, *slos)
    changed = []
    for slo in slos:
        if slo.name == DEFAULT_SLO and limit is not None:
            slo = replace(slo, limit=limit, objective=_complement(limit))  # noqa: PLW2901 the changed objective
        changed.append(replace(slo, window=window) if window is not None else slo)
    return tuple(changed)


def _rate(text: str) -> float:
    rate = parse_ratio(text)
    if not 0 <= rate <= 1:
        raise ValueError("a sample rate lies between 0 and 1: write for example '0.05' or '5%'")
    return float(rate)


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"write one of {', '.join(words)}")
        return text

    return read


def _either(yes: str, no: str) -> Callable[[str], bool]:
    def read(text: str) -> bool:
        if text.lower() not in (yes, no):
            raise ValueError(f"write {yes} or {no}")
        return text.lower() == yes

    return read


def _positive(text: str) -> int:
    if not (text.isdecimal() and len(text) <= _MAX_DIGITS and int(text)):
        raise ValueError("write a whole number above 0")
    return int(text)


def _asgi_spans(text: str) -> tuple[str, ...]:
    wanted = tuple(word.strip() for word in text.split(",") if word.strip() != "none")
    if not set(wanted) <= set(ASGI_MESSAGES):
        raise ValueError("write 'send', 'receive', 'send,receive' or 'none'")
    return wanted
