"""Jobs of RQ, Dramatiq, Huey or arq over a real Redis, which the first argument names: one succeeds, one fails, one fails once
more when it is repeated. Prints what was counted; with PLAIN=1 sentry-sdk alone is set up.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import urllib.request

import plain
import sentry_sdk
from prometheus_client.parser import text_string_to_metric_families

PORT = int(os.environ["REDIS_PORT"])


def succeeds():
    return 1


def fails():
    sentry_sdk.set_tag("colour", "red")
    raise ValueError("fails")


def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def leaves():
    os._exit(0)


def stops():
    from redis import Redis
    from rq import get_current_job
    from rq.command import send_stop_job_command

    send_stop_job_command(Redis(port=PORT), get_current_job().id)
    time.sleep(600)


def with_rq():
    from redis import Redis
    from rq import Queue, Retry, Worker
    from rq.registry import StartedJobRegistry

    connection = Redis(port=PORT)
    queue = Queue(connection=connection)
    queue.enqueue("queue_jobs.succeeds")
    queue.enqueue("queue_jobs.fails")
    queue.enqueue("queue_jobs.fails", retry=Retry(max=1))
    queue.enqueue("queue_jobs.dies", retry=Retry(max=1))
    queue.enqueue("queue_jobs.leaves")
    queue.enqueue("queue_jobs.stops")
    Worker([queue], connection=connection).work(burst=True, logging_level="ERROR")
    StartedJobRegistry(queue=queue).cleanup(
        timestamp=time.time() + 3600
    )  # what RQ's worker does now and then


def with_dramatiq():
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from sentry_sdk.integrations.dramatiq import DramatiqIntegration

    client = sentry_sdk.get_client()
    client.integrations |= sentry_sdk.integrations.setup_integrations(
        [DramatiqIntegration()], with_defaults=False
    )
    broker = RedisBroker(port=PORT)
    dramatiq.set_broker(broker)
    dramatiq.actor(succeeds).send()
    dramatiq.actor(fails, max_retries=0).send()
    dramatiq.actor(fails, actor_name="repeated", max_retries=1, min_backoff=1, max_backoff=1).send()
    dramatiq.actor(fails, actor_name="expected", throws=(ValueError,)).send()
    worker = dramatiq.Worker(broker, worker_timeout=100)
    worker.start()
    broker.join("default")
    worker.join()
    worker.stop()


def with_huey():
    from huey import RedisHuey
    from huey.api import CancelExecution, TaskException

    def cancels():
        raise CancelExecution

    huey = RedisHuey(port=PORT)
    tasks = [huey.task()(succeeds), huey.task()(fails), huey.task(retries=1, name="repeated")(fails)]
    tasks.append(huey.task()(cancels))
    consumer = huey.create_consumer(workers=1, periodic=False, initial_delay=0.01)
    consumer.start()
    for result in [task() for task in tasks]:
        with contextlib.suppress(TaskException):
            result(blocking=True, timeout=60)
    consumer.stop(graceful=True)


def with_arq():
    import arq.worker
    from arq import Retry, create_pool
    from arq.connections import RedisSettings

    async def succeeds(_context):
        return 1

    async def fails(_context):
        sentry_sdk.set_tag("colour", "red")
        raise ValueError("fails")

    async def repeated(context):
        if context["job_try"] == 1:
            raise Retry
        await fails(context)

    async def hangs(_context):
        await asyncio.sleep(60)

    class Settings:
        functions = [  # noqa: RUF012 arq's own way
            *(arq.worker.func(each, name=each.__name__) for each in (succeeds, fails, repeated)),
            arq.worker.func(hangs, name="hangs", timeout=0.1),
        ]
        redis_settings = RedisSettings(port=PORT, conn_timeout=60)
        burst, poll_delay = True, 0.05

    async def enqueue():
        pool = await create_pool(Settings.redis_settings)
        for function in ("succeeds", "fails", "repeated", "hangs"):
            await pool.enqueue_job(function)

    asyncio.run(enqueue())
    asyncio.set_event_loop(asyncio.new_event_loop())
    arq.worker.run_worker(Settings)


def outcomes():
    """Read what all processes of the service have counted."""
    from slotel.runtime.state import current

    with urllib.request.urlopen(f"http://127.0.0.1:{current().endpoint.port}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        sample.labels["slo_outcome"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "slo_events_total"
    }


if __name__ == "__main__":
    assert plain
    # a busy machine may need longer than the two seconds for which sentry-sdk and RQ's horses wait at their end
    sentry_sdk.get_client().options["shutdown_timeout"] = 60
    {"rq": with_rq, "dramatiq": with_dramatiq, "huey": with_huey, "arq": with_arq}[sys.argv[1]]()
    sentry_sdk.flush(60)
    print(json.dumps({} if os.environ.get("PLAIN") else outcomes()), flush=True)
