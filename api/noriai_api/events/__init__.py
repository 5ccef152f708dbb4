"""What happens to bookings, for whoever follows it: as a stream over HTTP, and on a NATS server where one is named."""
