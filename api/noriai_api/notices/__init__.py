"""What riders are told of their rides unasked: the evening before, when the time moves, when the vehicle is near."""
