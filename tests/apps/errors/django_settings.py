"""Settings of the Django service of the tests."""

import os

DEBUG = False
SECRET_KEY = "test"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "django_urls"
MIDDLEWARE = [name for name in os.environ.get("APP_MIDDLEWARE", "").split(",") if name]
