"""A provider of the SDK that slotel has adopted, without anything that is shipped."""

import concurrent.futures.thread  # noqa: F401 first: its lock, held over a fork, is renewed before a provider of the SDK asks for it

from slotel.config.service import read_service
from slotel.runtime.bootstrap import _build, _pipeline
from slotel.runtime.tracing.provider import install_pipeline, record_every_span


def runtime_around(provider, environ=None, yaml=None):
    runtime = _build(read_service(environ or {}, yaml).service, {"service.name": "shop"})
    record_every_span(provider)
    runtime.pipeline = _pipeline(runtime)
    install_pipeline(provider, runtime.pipeline, runtime.enforcer)
    return runtime
