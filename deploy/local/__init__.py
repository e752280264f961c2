"""A real Apache Kafka broker and the demo, from pip alone: no Docker, no Java, no Kafka installed by hand."""
