"""A Django service that fails, under WSGI (waitress) or ASGI (uvicorn)."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_settings")

if __name__ == "__main__":
    port = int(os.environ["PORT"])
    if sys.argv[1:] == ["asgi"]:
        import uvicorn
        from django.core.asgi import get_asgi_application

        uvicorn.run(get_asgi_application(), host="127.0.0.1", port=port, log_level="warning", lifespan="off")
    else:
        from django.core.wsgi import get_wsgi_application
        from waitress import serve

        serve(get_wsgi_application(), host="127.0.0.1", port=port, threads=2, _quiet=True)
