"""A celery service for the tests: a broker of files in BROKER_DIR, so that nothing has to be installed."""

import os
from pathlib import Path

from celery import Celery
from opentelemetry import metrics

folder = Path(os.environ["BROKER_DIR"])
folder.mkdir(exist_ok=True)
app = Celery("celery_app", broker="filesystem://")
app.conf.update(
    broker_transport_options={"data_folder_in": folder, "data_folder_out": folder, "store_processed": False},
    broker_connection_retry_on_startup=True,
    worker_max_tasks_per_child=5,
    task_ignore_result=True,
)
orders = metrics.get_meter("shop").create_counter("orders", description="Orders taken.")


@app.task
def order(number):
    orders.add(1)
    return number
