"""Jobs of the library that the first argument names, over a real Redis where it needs one: one succeeds, one fails, one fails
once more when it is repeated. Prints what was counted; with PLAIN=1 sentry-sdk alone is set up.
"""

import asyncio
import contextlib
import functools
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


def with_huey_processes():
    from huey import RedisHuey

    huey = RedisHuey(port=PORT)
    tasks = [huey.task()(succeeds), huey.task()(fails), huey.task()(dies)]
    consumer = huey.create_consumer(workers=1, worker_type="process", periodic=False, initial_delay=0.01)
    consumer.start()
    for task in tasks:
        task()
    wait_for(3, consumer.check_worker_health)
    consumer.stop(graceful=True)


def with_apscheduler():
    """Its loop is started within a request, whose context is none of its jobs'."""
    from apscheduler.executors.pool import ProcessPoolExecutor
    from apscheduler.schedulers.asyncio import AsyncIOScheduler
    from apscheduler.schedulers.background import BackgroundScheduler
    from opentelemetry import trace

    async def fails_later():
        await asyncio.sleep(0)
        fails()

    async def in_a_request():
        with trace.get_tracer("app").start_as_current_span("a request"):
            loop = AsyncIOScheduler()
            loop.start()
            loop.add_job(fails_later, misfire_grace_time=None)
            await asyncio.sleep(1)
            loop.shutdown()

    scheduler = BackgroundScheduler(
        executors={"default": {"type": "threadpool"}, "apart": ProcessPoolExecutor(1)}
    )
    scheduler.start()
    for job in (functools.partial(succeeds), fails, sys.exit):
        scheduler.add_job(job, misfire_grace_time=None)
    for job in (succeeds, fails, dies):
        scheduler.add_job(job, executor="apart", misfire_grace_time=None)
    asyncio.run(in_a_request())
    wait_for(7)
    scheduler.shutdown()


def with_procrastinate():
    import procrastinate
    from procrastinate.testing import InMemoryConnector

    app = procrastinate.App(connector=InMemoryConnector())
    tasks = [
        app.task(name="succeeds")(succeeds),
        app.task(name="fails")(fails),
        app.task(name="repeated", retry=1)(fails),
    ]

    async def work():
        async with app.open_async():
            for task in tasks:
                await task.defer_async()
            await app.run_worker_async(wait=False, install_signal_handlers=False)

    asyncio.run(work())


def with_saq():
    from saq import Queue, Worker

    async def succeeds(_context):
        return 1

    def fails(_context):
        raise ValueError("fails")

    async def hangs(_context):
        await asyncio.sleep(60)

    async def work():
        queue = Queue.from_url(f"redis://127.0.0.1:{PORT}")
        await queue.connect()
        jobs = [
            await queue.enqueue("succeeds"),
            await queue.enqueue("fails"),
            await queue.enqueue("fails", retries=2),
            await queue.enqueue("hangs", timeout=1),
        ]
        functions = [(each.__name__, each) for each in (succeeds, fails, hangs)]
        worker = Worker(queue, functions)
        working = asyncio.create_task(worker.start())
        for job in jobs:
            await job.refresh(until_complete=60)
        worker.event.set()
        await asyncio.wait([working])

    asyncio.run(work())


def django(**settings):
    """Set Django up with a database that every process of the test can open; return where management commands run."""
    import tempfile

    from django.conf import settings as configured
    from django.core.management import call_command

    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{tempfile.mkdtemp()}/db"}
    configured.configure(DATABASES={"default": database}, USE_TZ=True, SECRET_KEY="x", **settings)
    __import__("django").setup()
    call_command("migrate", verbosity=0)
    return call_command


def with_django_q():
    redis = {"host": "127.0.0.1", "port": PORT}
    django(
        INSTALLED_APPS=["django_q"],
        Q_CLUSTER={"name": "q", "workers": 1, "timeout": 2, "retry": 60, "redis": redis},
    )
    from django_q.cluster import Cluster
    from django_q.tasks import async_task

    for task in ("succeeds", "fails", "dies", "hangs"):
        async_task(f"queue_jobs.{task}")
    cluster = Cluster()
    cluster.start()
    wait_for(4)
    cluster.stop()


def hangs():
    time.sleep(600)


def with_django_tasks():
    backend = {"BACKEND": "django_tasks_db.DatabaseBackend"}
    call_command = django(INSTALLED_APPS=["django_tasks_db"], TASKS={"default": backend})
    try:
        from django.tasks import task
    except ImportError:  # before Django 6
        from django_tasks import task
    module = sys.modules["queue_jobs"] = sys.modules[__name__]
    for name in ("succeeds", "fails", "exits"):
        function = getattr(module, name)
        function.__module__ = "queue_jobs"
        setattr(module, name, task(function))
        getattr(module, name).enqueue()
    with contextlib.suppress(SystemExit):
        call_command("db_worker", batch=True, interval=0, startup_delay=False, verbosity=0)


def exits():
    sys.exit(1)


def wait_for(jobs, meanwhile=lambda: None):
    """Wait until that many are counted; without slotel, as long as they take."""
    deadline = time.time() + (10 if os.environ.get("PLAIN") else 90)
    while time.time() < deadline and (os.environ.get("PLAIN") or sum(outcomes().values()) < jobs):
        meanwhile()
        time.sleep(0.2)


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
    globals()[f"with_{sys.argv[1]}"]()
    sentry_sdk.flush(60)
    print(json.dumps({} if os.environ.get("PLAIN") else outcomes()), flush=True)
