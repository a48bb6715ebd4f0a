"""The cluster of docker-compose.cluster.yml, run and checked for real."""
