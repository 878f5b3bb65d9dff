"""Calls the handler as a platform does: once well, once badly."""

from handler import handler

print(handler({"width": 1600}, None))
try:
    handler({"width": 0}, None)
except ValueError as error:
    print("failed:", error)
