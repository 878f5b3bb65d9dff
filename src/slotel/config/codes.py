"""Every finding that a start or `slotel doctor` can report, by its code. Data only; the documentation is generated from it.

A code never changes its meaning and is never used again. Hundreds of codes are not planned: 10x configuration,
11x packages, 12x OpenTelemetry, 13x instrumentation, 14x Sentry, 15x metrics endpoint, 16x objectives, 17x processes.
"""

from typing import Final, NamedTuple


class Code(NamedTuple):
    """What a finding means.

    Args:
        title: what is wrong, in a few words.
        symptom: what a person sees.
        cause: why.
        fix: what to do.
    """

    title: str
    symptom: str
    cause: str
    fix: str


CODES: Final[dict[str, Code]] = {
    "SLO101": Code(
        "Invalid setting",
        "A line names an environment variable or a place in `slotel.yaml`, what was expected, and what is used instead.",
        "The value cannot be read. Only this value is replaced by its default; the rest of the configuration is used.",
        "Write the value as the line shows. `slotel validate` checks the file before you deploy it.",
    ),
    "SLO102": Code(
        "Setting without effect",
        "A line names a key of `slotel.yaml` that changes nothing.",
        "Another setting rules it out, such as `sentry.keep` with `sentry.mode: otlp`.",
        "Remove the key, or change the setting that the line names.",
    ),
    "SLO103": Code(
        "Environment and file disagree",
        "The service is metered against another objective than the rules that were generated from the file.",
        "The environment overrides `slotel.yaml`. `slotel generate` in a pipeline does not see the service's environment.",
        "Keep the objective in one place: remove `ERROR_BUDGET_LIMIT`, or take the objective out of `slotel.yaml`.",
    ),
    "SLO104": Code(
        "Unknown environment variable",
        "A variable that you set has no effect.",
        "Its name is misspelled, or belongs to another version.",
        "Use the name that the line suggests. The reference lists every variable.",
    ),
    "SLO105": Code(
        "The service has no name",
        "Metrics, traces and dashboards show `unknown_service`.",
        "Neither `OTEL_SERVICE_NAME`, nor `service.name` in `OTEL_RESOURCE_ATTRIBUTES`, nor `service` in `slotel.yaml` is set.",
        "Set `OTEL_SERVICE_NAME=checkout`.",
    ),
    "SLO106": Code(
        "A resource attribute without a value",
        "An attribute that you set is on no metric and no trace.",
        "`OTEL_RESOURCE_ATTRIBUTES` is not of the form `key=value,key=value`; the SDK leaves out what is no pair.",
        "Write `OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=production,team=payments`.",
    ),
    "SLO107": Code(
        "A file of another name",
        "The settings in a file have no effect.",
        "slotel reads `slotel.yaml` in the working directory, or the file in `SLOTEL_CONFIG`.",
        "Rename the file, or set `SLOTEL_CONFIG` to its path.",
    ),
    "SLO110": Code(
        "A package has an unsupported version",
        "A component is off, or doctor names a package.",
        "Another package pins an older or newer version than slotel supports.",
        "Install the version that the line names, then run `slotel doctor` again.",
    ),
    "SLO111": Code(
        "Several OpenTelemetry distributions",
        "slotel may not start at all.",
        "More than one distribution is installed, and which one the launcher loads is undefined.",
        "Set `OTEL_PYTHON_DISTRO=slotel` and `OTEL_PYTHON_CONFIGURATOR=slotel`, or uninstall the others.",
    ),
    "SLO112": Code(
        "Another distribution is selected",
        "The service starts without slotel.",
        "`OTEL_PYTHON_DISTRO` or `OTEL_PYTHON_CONFIGURATOR` names another distribution.",
        "Set both variables to `slotel`, or unset them.",
    ),
    "SLO113": Code(
        "The launcher is missing",
        "`opentelemetry-instrument: command not found`.",
        "The environment that slotel is installed in is not active.",
        "Activate the virtual environment, or call `.venv/bin/opentelemetry-instrument`.",
    ),
    "SLO114": Code(
        "slotel is not installed in this environment",
        "The service starts without slotel.",
        "slotel's entry points are not in this interpreter's packages. `slotel doctor` must run with the service's interpreter.",
        "Run `python -m pip install slotel` with the service's interpreter, then `python -m slotel doctor`.",
    ),
    "SLO115": Code(
        "Another environment is active",
        "Doctor finds everything well, or missing, and the service behaves otherwise.",
        "`slotel` on the PATH belongs to another environment (pipx, uvx, the system) than the active one.",
        "Run `python -m slotel doctor` with the service's interpreter.",
    ),
    "SLO116": Code(
        "Another tracing agent is active",
        "Spans are doubled, or missing; requests cost more.",
        "Another vendor's agent (ddtrace, New Relic, Elastic APM, Scout) instruments the same libraries.",
        "Start the service with one of them. Both at once is not supported by either.",
    ),
    "SLO120": Code(
        "OpenTelemetry is disabled",
        "Nothing is counted, traced or reported.",
        "`OTEL_SDK_DISABLED` is `true`.",
        "Unset it.",
    ),
    "SLO121": Code(
        "An exporter is not available",
        "Nothing arrives at the collector.",
        "The exporter that `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` or `OTEL_LOGS_EXPORTER` names is misspelled or not installed.",
        "Install the package that the line names: `pip install 'slotel[otlp]'` for `otlp`.",
    ),
    "SLO122": Code(
        "The sampler is invalid",
        "More or fewer traces arrive than you expect.",
        "`OTEL_TRACES_SAMPLER` or `OTEL_TRACES_SAMPLER_ARG` is misspelled.",
        "Use one of the samplers that the line lists; the argument is a ratio from 0 to 1.",
    ),
    "SLO123": Code(
        "A propagator is not available",
        "Traces end at the border between two services.",
        "`OTEL_PROPAGATORS` names a propagator that is not installed.",
        "Remove it, or install its package. The default is `tracecontext,baggage`.",
    ),
    "SLO124": Code(
        "No trace is sampled",
        "Sentry shows errors, and no transactions. Metrics are complete.",
        "The sampler is `always_off`, or its ratio is 0.",
        "Raise `SENTRY_TRACES_SAMPLE_RATE`, or leave it: failed and slow requests are still kept by `sentry.keep`.",
    ),
    "SLO125": Code(
        "The OpenTelemetry SDK could not be set up",
        "No exporter is active; requests are counted nevertheless.",
        "A resource detector, an exporter or the file in `OTEL_CONFIG_FILE` raised the exception that the line shows.",
        "Correct the setting that the exception names.",
    ),
    "SLO126": Code(
        "The collector is unreachable",
        "No spans arrive; the exporter retries.",
        "Nothing answers at `OTEL_EXPORTER_OTLP_ENDPOINT`, or the protocol does not fit the port: 4318 is `http/protobuf`, 4317 is `grpc`.",
        "Correct the endpoint or `OTEL_EXPORTER_OTLP_PROTOCOL`. Within a container, `localhost` is the container itself.",
    ),
    "SLO127": Code(
        "One of OpenTelemetry's numbers is wrong",
        "The SDK uses its default, or cannot be set up.",
        "A variable such as `OTEL_BSP_SCHEDULE_DELAY` has a unit or is no number, or a batch is larger than its queue.",
        "Write digits: milliseconds for delays and intervals, seconds for the timeouts of OTLP exporters.",
    ),
    "SLO128": Code(
        "An OTLP endpoint is wrong",
        "No spans arrive at the collector.",
        "The endpoint has no scheme, or the port of the other protocol: 4318 is `http/protobuf`, 4317 is `grpc`.",
        "Write `http://HOST:4318`, or set `OTEL_EXPORTER_OTLP_PROTOCOL=grpc` for port 4317.",
    ),
    "SLO129": Code(
        "The declarative configuration is missing",
        "The SDK could not be set up; requests are counted nevertheless.",
        "`OTEL_CONFIG_FILE` names a file that is not there.",
        "Correct the path, or unset the variable.",
    ),
    "SLO130": Code(
        "A web framework is not instrumented",
        "Requests have no routes and no child spans, or are not counted at all.",
        "The framework is installed, its OpenTelemetry instrumentation is not.",
        "Run `slotel bootstrap` with the service's interpreter.",
    ),
    "SLO131": Code(
        "A library is not instrumented",
        "Calls of this library have no spans.",
        "The library is installed, its OpenTelemetry instrumentation is not.",
        "Run `slotel bootstrap`, or ignore it if you do not need these spans.",
    ),
    "SLO132": Code(
        "A library is outside of its instrumentation's range",
        "The library has no spans, although its instrumentation is installed.",
        "The instrumentation supports other versions of the library.",
        "Install a supported version of the library, or a newer slotel.",
    ),
    "SLO133": Code(
        "An instrumentation is disabled",
        "A framework's requests, or a library's calls, have no spans.",
        "`OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` lists it.",
        "Remove it from the list, if that is not what you want.",
    ),
    "SLO134": Code(
        "An instrumentation failed",
        "The library has no spans.",
        "The instrumentation raised the exception that the line shows.",
        "Run `slotel bootstrap` to get the tested version. If that does not help, report it to the instrumentation's project.",
    ),
    "SLO135": Code(
        "Django cannot find its settings",
        "Django's instrumentation is skipped or fails.",
        "`DJANGO_SETTINGS_MODULE` is set to a module that cannot be imported from the working directory.",
        "Set it to your project's settings, and start the service in the project's folder.",
    ),
    "SLO136": Code(
        "Requests that nothing counts",
        "Clients get answers, and no request is in the metrics, the error budget or Sentry's performance data.",
        "Neither the server nor the framework is instrumented, or the instrumentation is not installed or came too late. "
        "A port that serves something else, such as a debugger's, is named as well.",
        "Start the service by `opentelemetry-instrument`; run `slotel bootstrap`; serve the app by a server that slotel "
        "counts at: gunicorn, uvicorn, hypercorn, waitress, cheroot, daphne, gevent, werkzeug, wsgiref.",
    ),
    "SLO140": Code(
        "Sentry is off",
        "Nothing arrives in Sentry. Metrics and the error budget work.",
        "`SENTRY_DSN` is not set.",
        "Set `SENTRY_DSN` to the DSN of your project (Sentry or GlitchTip). Without an account: `slotel sink`.",
    ),
    "SLO141": Code(
        "The DSN is not valid",
        "Nothing arrives in Sentry.",
        "`SENTRY_DSN` is not of the form `https://PUBLIC_KEY@HOST/PROJECT_NUMBER`.",
        "Copy it from your project's settings, *Client Keys (DSN)*.",
    ),
    "SLO142": Code(
        "Sentry is unreachable",
        "Nothing arrives in Sentry; up to 5,000 transactions are buffered and sent later.",
        "The host does not resolve or refuses the connection, its certificate is not trusted, or a proxy is needed.",
        "Check the DSN's host, `HTTPS_PROXY`, and `SSL_CERT_FILE` for a private certificate authority.",
    ),
    "SLO143": Code(
        "Sentry rejects the key",
        "Sentry answers 401 or 403; events are lost and counted as `status_401` or `status_403`.",
        "The key in `SENTRY_DSN` is wrong or disabled, or it belongs to another project.",
        "Copy the DSN again from the project's settings.",
    ),
    "SLO144": Code(
        "Sentry refuses the size",
        "Sentry, or a proxy before it, answers 413.",
        "A body limit is smaller than the event: GlitchTip behind nginx allows 1 MB by default.",
        "Raise the limit of the proxy (`client_max_body_size 20m`).",
    ),
    "SLO145": Code(
        "Sentry limits the rate",
        "Sentry answers 429; transactions are dropped and counted until the limit ends.",
        "The project's quota is used up.",
        "Lower `SENTRY_TRACES_SAMPLE_RATE`, or raise the quota. Metrics are not affected.",
    ),
    "SLO146": Code(
        "Sentry answers with an error",
        "A status that is none of the above.",
        "The server, or a proxy before it, has a fault.",
        "Read the server's log. slotel tries again.",
    ),
    "SLO147": Code(
        "The proxy cannot be used",
        "Nothing arrives in Sentry.",
        "A SOCKS proxy needs PySocks; or its scheme is not supported; or the proxy refuses the connection.",
        "Run `pip install 'slotel[socks]'`, or correct `HTTPS_PROXY`.",
    ),
    "SLO148": Code(
        "The clock is wrong",
        "Sentry shows events at odd times or drops them; budget windows are shifted against Prometheus.",
        "The machine's clock differs from the server's by more than a minute.",
        "Synchronise the clock (`timedatectl set-ntp true`).",
    ),
    "SLO149": Code(
        "A certificate authority is missing",
        "Every connection by TLS fails.",
        "`SSL_CERT_FILE`, `SSL_CERT_DIR`, `REQUESTS_CA_BUNDLE` or `OTEL_EXPORTER_OTLP_CERTIFICATE` names a file that is not there.",
        "Correct the path, or unset the variable: the system has authorities of its own.",
    ),
    "SLO150": Code(
        "The metrics port is not a number",
        "Metrics are at the default port 9464.",
        "`OTEL_EXPORTER_PROMETHEUS_PORT` is not a number from 0 to 65535.",
        "Write a port number.",
    ),
    "SLO151": Code(
        "The metrics port is in use",
        "Prometheus scrapes another process, or nothing.",
        "Another process, perhaps another service on this machine, has bound the port.",
        "Set `OTEL_EXPORTER_PROMETHEUS_PORT` to a free port.",
    ),
    "SLO152": Code(
        "The metrics port may not be opened",
        "There is no /metrics.",
        "Ports below 1024 need rights that this user does not have.",
        "Set `OTEL_EXPORTER_PROMETHEUS_PORT` to a port above 1023.",
    ),
    "SLO153": Code(
        "The metrics address is not of this machine",
        "There is no /metrics.",
        "`OTEL_EXPORTER_PROMETHEUS_HOST` does not resolve to an address of this machine.",
        "Set it to `0.0.0.0`, `::`, `localhost`, or an address of this machine.",
    ),
    "SLO154": Code(
        "Metrics on loopback within a container",
        "Prometheus cannot scrape the container: connection refused.",
        "/metrics is bound to `localhost`, which nobody outside of the container reaches.",
        "Set `OTEL_EXPORTER_PROMETHEUS_HOST=0.0.0.0`, and let only Prometheus reach the port.",
    ),
    "SLO155": Code(
        "The runtime directory cannot be used",
        "Workers that are not forked (`uvicorn --workers`, multiprocessing's spawn) are missing from /metrics. "
        "Forked ones (gunicorn, uWSGI, Celery) are counted exactly, in memory that they inherit.",
        "No candidate directory (`/dev/shm`, `XDG_RUNTIME_DIR`, the temporary directory) is writable.",
        "Make one of them writable: a read-only container needs a tmpfs, for example `--tmpfs /tmp`.",
    ),
    "SLO156": Code(
        "The runtime directory is almost full",
        "Workers that are not forked may be missing from /metrics; new series are added to one for all of them.",
        "Less than 16 MiB are free where workers share their counts.",
        "Docker gives /dev/shm 64 MiB by default: `--shm-size=256m`.",
    ),
    "SLO157": Code(
        "The metrics endpoint is off",
        "There is no /metrics.",
        "`OTEL_METRICS_EXPORTER` does not name `prometheus`.",
        "Add it: `OTEL_METRICS_EXPORTER=prometheus,otlp`. If metrics leave by OTLP alone, nothing is wrong.",
    ),
    "SLO158": Code(
        "The files that protect the metrics endpoint cannot be used",
        "There is no /metrics.",
        "`SLOTEL_METRICS_TOKEN_FILE` or `SLOTEL_METRICS_WEB_CONFIG` names a file that is missing, empty or wrong. "
        "An endpoint that was meant to be protected does not answer everybody instead.",
        "Put the file in place, readable for the service's user, and restart.",
    ),
    "SLO159": Code(
        "Everybody on the network can read the metrics",
        "`/metrics` answers whoever reaches it.",
        "It is bound to more than this machine, and no token or certificate is asked for.",
        "Keep the port inside a trusted network, or set `SLOTEL_METRICS_TOKEN_FILE` or `SLOTEL_METRICS_WEB_CONFIG`.",
    ),
    "SLO160": Code(
        "A burn-rate alert can never fire",
        "`slotel generate` leaves an alert out.",
        "The objective is so low that the alert's threshold exceeds an error rate of 100 %.",
        "Nothing, if the objective is meant so: the remaining alerts cover it. Otherwise raise the objective.",
    ),
    "SLO162": Code(
        "Prometheus cannot be asked",
        "`slotel doctor --prometheus URL` says that there is no answer.",
        "The address is not that of Prometheus' HTTP API, or it needs authorization.",
        "Give the address that Grafana's data source has.",
    ),
    "SLO163": Code(
        "The rules are not loaded",
        "Dashboards are empty, and no alert fires.",
        "`prometheus/rules.yaml` is not among Prometheus' `rule_files`, was not reloaded, or is of an older configuration.",
        "Run `slotel generate`, load the file, and reload Prometheus.",
    ),
    "SLO164": Code(
        "A rule fails, or is evaluated too slowly",
        "Some recorded series are missing or stale.",
        "Prometheus could not evaluate the rule; the finding has its message. Another file may record the same series.",
        "Load the rules of a service once. If evaluation takes longer than the interval, give Prometheus more CPU.",
    ),
    "SLO165": Code(
        "No series for an objective",
        "The alert `SLIMetricAbsent` fires.",
        "The service is not scraped, had no request yet, or the objective selects what does not exist.",
        "Check the scrape target, and the objective's `include` and `match`.",
    ),
    "SLO166": Code(
        "A bucket or another operand does not exist",
        "A latency objective shows no errors, or nothing but errors.",
        "The histogram has no bucket with this edge, so bad events cannot be computed.",
        "Take a threshold that is an edge (the finding lists them), or give the histogram that edge.",
    ),
    "SLO167": Code(
        "The retention is shorter than the period",
        "The error budget forgets what is older than the retention.",
        "Prometheus keeps 15 days unless it is told otherwise.",
        "Start it with `--storage.tsdb.retention.time=35d`, or choose a shorter `period`.",
    ),
    "SLO168": Code(
        "Exemplars are not stored",
        "Dashboards show no dots that lead to a trace.",
        "Prometheus stores exemplars only if it is told to.",
        "Start it with `--enable-feature=exemplar-storage`.",
    ),
    "SLO169": Code(
        "Scrapes are too rare for the windows",
        "Short windows are empty, so the fast alerts never fire.",
        "A window must hold four scrapes, and the shortest is five minutes.",
        "Set `monitoring.scrape_interval`, generate again; or scrape more often.",
    ),
    "SLO170": Code(
        "A component failed to start",
        "One part of slotel is off; everything else works.",
        "The exception that the line shows.",
        "If the line names a package, install its supported version. Otherwise please report it.",
    ),
    "SLO171": Code(
        "The command counted nothing",
        "`slotel doctor -- COMMAND` started the service and sent requests, and none was counted.",
        "No instrumentation makes server spans for this framework, or requests are answered before it.",
        "See the findings above; `slotel bootstrap` installs instrumentations.",
    ),
    "SLO172": Code(
        "The command did not answer",
        "`slotel doctor -- COMMAND` could not send its request.",
        "The command ended, or listens elsewhere.",
        "Read its output above; give its address with `--url`.",
    ),
    "SLO173": Code(
        "A name of another project is gone",
        "The line says what is off, or costs more. Requests are counted exactly, and everything that is sent is redacted.",
        "A release of OpenTelemetry, sentry-sdk, a server or a framework has no such private name any more.",
        "Look for a newer slotel (docs/compatibility.md says how soon); until then pin the release before.",
    ),
    "SLO174": Code(
        "The app sets a tracer provider of its own",
        "`Overriding of current TracerProvider is not allowed` in the log.",
        "The app calls `trace.set_tracer_provider()`. The launcher has set one before, and OpenTelemetry takes no second one.",
        "Remove the call and what belongs to it; `OTEL_*` variables name the exporters. Without the launcher, `slotel.ErrorTracker().init()` takes over the app's provider.",
    ),
}  # fmt: skip
"""Code → what it means."""

DOCS: Final = "docs/reference/codes/{code}.md"
"""Where a code's page is, from the repository's root."""
