"""Queues three tasks, one of which will fail."""

from tasks import charge, send_receipt

send_receipt.delay(1)
send_receipt.delay(2)
charge.delay(3)
