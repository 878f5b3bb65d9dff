"""Shares counts between the processes of a service."""
