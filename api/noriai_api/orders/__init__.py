"""Wishes that come again or wait: standing orders, and the waiting list of those who were refused."""
