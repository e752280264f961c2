"""The Grafana dashboard, written as code."""
