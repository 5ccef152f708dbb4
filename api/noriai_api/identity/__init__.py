"""Who calls, where it is no API key: people who sign in at an OpenID provider, machines that prove a key."""
