"""A Celery application for plain OpenTelemetry: its broker is a folder, named by BROKER_FOLDER."""

import os

from celery import Celery

folder = os.environ["BROKER_FOLDER"]
app = Celery("messages", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": folder,
    "data_folder_out": folder,
    "store_processed": False,
}
app.conf.task_ignore_result = True


@app.task
def packed(number: int) -> int:
    """Fail for each fourth."""
    if number % 4 == 3:
        raise ValueError(number)
    return number
