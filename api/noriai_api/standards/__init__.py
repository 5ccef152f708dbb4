"""The service in other people's formats: GTFS-Flex, GTFS Realtime, GOFS, MDS; and its KPIs."""
