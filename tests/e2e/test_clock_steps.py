"""A service whose wall clock steps by five minutes, or that was suspended that long: counts, windows, breaches, the sender."""

import signal
import time

import pytest

from slotel.cli.sink.server import SentrySink
from support import wall_clock
from support.launch import Launched, wait_until
from support.prom import Prometheus

WAITRESS = ("waitress-serve", "--listen", "127.0.0.1:{port}", "flask_app:app")
STEP = 300
GOOD, BAD = 40, 10
BREACHED = "error budget breached: 'availability'"
SLOTEL_YAML = """\
service: shop
slos:
  - {name: availability, error_budget: 5%, window: 1h}
  - {name: speed, error_budget: 5%, window: 1h, latency: 2s}
"""


class Clock:
    """The wall clock of a service."""

    def __init__(self, folder, *, suspends):
        missing = wall_clock.built()
        if missing:
            pytest.skip(missing)
        self._file = folder / "clock"
        self._offset = 0
        self.env = wall_clock.environ(self._file, suspends=suspends)

    def step(self, seconds):
        self._offset += seconds
        new = self._file.with_name("clock.new")
        new.write_text(f"{self._offset}\n")
        new.replace(self._file)
        time.sleep(1.5)  # it is looked at once a second


def load(shop):
    for path, times in (("/ok", GOOD), ("/error", BAD)):
        for _ in range(times):
            shop.get(path)


@pytest.mark.real
@pytest.mark.parametrize(
    ("step", "suspends"), [(STEP, False), (-STEP, False), (STEP, True)], ids=["ahead", "back", "suspended"]
)
def test_a_step_of_five_minutes_loses_no_event_doubles_none_and_holds_up_nothing(tmp_path, step, suspends):
    configuration = tmp_path / "slotel.yaml"
    configuration.write_text(SLOTEL_YAML)
    clock = Clock(tmp_path, suspends=suspends)
    with SentrySink() as sentry:
        env = {
            "SLOTEL_CONFIG": str(configuration),
            "SENTRY_DSN": sentry.dsn(),
            "OTEL_TRACES_SAMPLER": "always_on",
        }
        with Launched(*WAITRESS, env={**env, **clock.env}) as shop:
            shop.wait_ready()
            prometheus = Prometheus(tmp_path / "prometheus", {"shop": [f"127.0.0.1:{shop.metrics_port}"]})
            try:
                wait_until(lambda: prometheus.query('slo_events_total{slo_name="availability"}'), "scraped")
                created = shop.sample("slo_events_created", slo_name="availability", slo_outcome="bad")
                load(shop)
                if suspends:
                    shop.send(signal.SIGSTOP)
                clock.step(step)
                shop.send(signal.SIGCONT)
                load(shop)
                sentry.set_fault("refuse")
                load(shop)
                clock.step(step if suspends else -step)
                sentry.set_fault("none")
                load(shop)
                for slo in ("availability", "speed"):  # nobody was slow
                    for outcome, number in (("bad", 4 * BAD), ("good", 4 * GOOD)):
                        prometheus.wait(
                            f'slo_events_total{{slo_name="{slo}",slo_outcome="{outcome}"}}', number, 60
                        )
                ratio = BAD / (GOOD + BAD)
                wait_until(
                    lambda: (
                        shop.sample("error_budget_error_ratio", slo_name="availability", window="1h")
                        == pytest.approx(ratio)
                    ),
                    "the window has all events",
                    60,
                )
                assert (
                    shop.sample("slo_events_created", slo_name="availability", slo_outcome="bad") == created
                )
                assert sentry.wait_for(lambda s: s.transactions >= 4 * (GOOD + BAD), 60)
                assert sentry.wait_for(lambda s: s.events >= 4 * BAD, 60)
                wait_until(lambda: BREACHED in shop.log, "a tick has seen the breach", 60)
            finally:
                prometheus.stop()
        assert shop.log.count(BREACHED) == 1, shop.log
