"""Ask the consumer in this container whether its loop is turning; exit code 0 if it is, 1 if not.

/livez, since what restarts an unhealthy container must not restart one that waits for Kafka. The port is that
of the variable CONSUMER_METRICS_PORT: a flag of the consumer is not seen here.
"""

import http.client
import os
import sys

# Below the time that the image's HEALTHCHECK gives it.
SECONDS = 4.0

if __name__ == "__main__":
    # Not urllib, which would ask a proxy that the container's variables may name.
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(os.environ["CONSUMER_METRICS_PORT"]), timeout=SECONDS
    )
    try:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        print(answer.read().decode().strip())
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"no answer: {error}")
    sys.exit(answer.status != http.client.OK)
