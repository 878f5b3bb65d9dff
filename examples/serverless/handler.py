"""A function in the style of AWS Lambda. The platform freezes the process after an answer: flush before."""

import slotel
from slotel import PerformanceTracker

performance = PerformanceTracker()


@performance.track_request(name="resize")
def resize(event):
    slotel.set_custom_tags(team="media")
    if event["width"] <= 0:
        raise ValueError("a width is above 0")
    return {"width": event["width"], "height": event["width"] * 9 // 16}


def handler(event, context):
    """What the platform calls: `handler.handler`."""
    try:
        return resize(event)
    finally:
        slotel.flush(timeout=2.0)
