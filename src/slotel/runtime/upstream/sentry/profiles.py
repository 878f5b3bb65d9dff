"""sentry-sdk's profilers, for transactions that slotel makes: one profile of each, or chunks while there is one.

The first is sentry-sdk 2's (`profiles_sample_rate`), the second that of 2 and 3 (`profile_lifecycle="trace"`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from slotel.runtime.upstream.probe import Probe

_OF_ONE: Final = "sentry_sdk.profiler.transaction_profiler"
_CHUNKS: Final = "sentry_sdk.profiler.continuous_profiler"
_PROFILE: Final = Probe(
    _OF_ONE, "Profile",
    why="a transaction has its profile", without="`profiles_sample_rate` has no effect",
    level=None,  # 3 has none
)  # fmt: skip
_DECIDE: Final = Probe(
    f"{_OF_ONE}:Profile", "_set_initial_sampling_decision",
    why="the app's `profiles_sample_rate` or `profiles_sampler`", without="`profiles_sample_rate` has no effect",
    level=None,  # asked where the first is there
)  # fmt: skip
_AUTO_START: Final = Probe(
    _CHUNKS, "try_profile_lifecycle_trace_start",
    why="`profile_lifecycle='trace'` profiles while there is a transaction",
    without="`profile_lifecycle='trace'` has no effect",
    level=None,  # asked only where an app sets the option
)  # fmt: skip
_PROFILER_ID: Final = Probe(
    _CHUNKS, "get_profiler_id",
    why="a transaction names the profiler that ran", without="Sentry shows chunks beside transactions, not with them",
    level=None,  # as above
)  # fmt: skip


class TransactionProfile:
    """Profiles one transaction, from its construction until `stop`.

    Attributes:
        profiler_id: of the profiler whose chunks cover it.
    """

    __slots__ = ("_chunks", "_profile", "profiler_id")

    def __init__(self, profile: Any, chunks: Any, profiler_id: str | None) -> None:
        self._profile, self._chunks, self.profiler_id = profile, chunks, profiler_id

    @classmethod
    def begin(cls, name: str, options: Mapping[str, Any]) -> TransactionProfile | None:
        """Begin one, if the app's options want it.

        Args:
            name: of the transaction, for the app's `profiles_sampler`.
        """
        profile = _profile(name) if is_of_one(options) else None
        is_of_traces = options.get("profile_lifecycle") == "trace" and is_continuous(options)
        start = _AUTO_START.load() if is_of_traces else None
        chunks = None if start is None else start()
        profiler_id = _PROFILER_ID.load() if is_continuous(options) else None
        found = None if profiler_id is None else profiler_id()
        return cls(profile, chunks, found) if profile or chunks or found else None

    def stop(self) -> None:
        """End it: on the thread that ends the transaction."""
        for each in (self._profile, self._chunks):
            if each is not None:
                each.stop()

    def as_json(self, event: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the profile that an envelope has with its transaction; None without one, or with too few samples."""
        profile = self._profile
        if profile is None or not profile.valid():
            return None
        made: dict[str, Any] = profile.to_json(event, options)
        return made


def is_of_one(options: Mapping[str, Any]) -> bool:
    """Return whether an app wants a profile of each transaction."""
    rate = options.get("profiles_sample_rate") or (options.get("_experiments") or {}).get(
        "profiles_sample_rate"
    )
    return bool(rate or options.get("profiles_sampler"))


def is_continuous(options: Mapping[str, Any]) -> bool:
    """Return whether an app wants chunks."""
    return bool(options.get("profile_session_sample_rate"))


def _profile(name: str) -> Any:
    kind = _PROFILE.load()
    if kind is None or _DECIDE.of(kind) is None:
        return None
    profile = kind(sampled=True, start_ns=time.perf_counter_ns())
    _DECIDE.of(profile)({"transaction_context": {"name": name}, "parent_sampled": None})
    if not profile.sampled:
        return None
    profile.start()
    return profile
