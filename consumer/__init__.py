"""Reads comments from Kafka, classifies them in batches and publishes each, exactly once, by urgency."""
