"""Transactions: grouped on the request thread, built and encoded by a worker thread."""
