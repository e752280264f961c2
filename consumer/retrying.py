"""Which of Kafka's errors are worth waiting out: all but those that only a person can mend.

kafka-python's own word, `error.retriable`, is about one request: where one of the producer's times out, it
raises a plain KafkaError, which is not retriable; yet a new producer gets through.
"""

from kafka import errors

_HOPELESS = (
    errors.AuthorizationError,
    errors.IllegalArgumentError,
    errors.IllegalSaslStateError,
    errors.IllegalStateError,
    errors.InconsistentGroupProtocolError,
    errors.InvalidConfigurationError,
    errors.InvalidGroupIdError,
    errors.InvalidPartitionsError,
    errors.InvalidReplicationFactorError,
    errors.InvalidSessionTimeoutError,
    errors.InvalidTopicError,
    errors.InvalidTransactionTimeoutError,
    errors.KafkaConfigurationError,
    errors.PolicyViolationError,
    errors.SaslAuthenticationFailedError,
    errors.SecurityDisabledError,
    errors.UnsupportedCodecError,
    errors.UnsupportedForMessageFormatError,
    errors.UnsupportedSaslMechanismError,
    errors.UnsupportedVersionError,
)


def hopeless(error: errors.KafkaError) -> bool:
    """Whether trying again, with new clients even, would end the same way."""
    return isinstance(error, _HOPELESS)
