"""The service that takes bookings (to come): partner apps, phone desk, vehicles, one tenant apart from the other."""
