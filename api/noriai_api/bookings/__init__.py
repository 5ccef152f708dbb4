"""Quotes and bookings: router, schemas, service, repository."""
