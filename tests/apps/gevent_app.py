"""The Flask service, served by gevent: patched in code, after opentelemetry-instrument has started slotel."""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402 the patch comes first, as gevent asks for

from flask_app import app  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

WSGIServer(("127.0.0.1", int(os.environ["PORT"])), app, log=None).serve_forever()
