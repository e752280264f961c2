"""Ways to run the service: on one machine, in a container, in a cluster."""
