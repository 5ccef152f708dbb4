"""Webhooks: what happens to bookings, told to those who made them: signed, in order for each booking, at least once."""
