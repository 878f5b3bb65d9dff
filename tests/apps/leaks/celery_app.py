"""A Celery worker full of secrets, over a broker of files; it leaks when it is sent the one task."""

import os
from pathlib import Path

import places
from celery import Celery

places.init_plain()
folder = Path(os.environ["BROKER_DIR"])
folder.mkdir(exist_ok=True)
app = Celery("celery_app", broker="filesystem://")
app.conf.update(
    broker_transport_options={"data_folder_in": folder, "data_folder_out": folder, "store_processed": False},
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
)


@app.task
def leak(name, password=""):
    places.everything()
    places.boom()
