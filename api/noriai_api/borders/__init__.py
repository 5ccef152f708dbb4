"""Riding across borders: what our fleet cannot serve is offered to neighbours under agreement, and the reverse."""
