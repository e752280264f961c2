# The consumer, on a GPU; for a CPU build it with `--build-arg BASE=ubuntu:24.04`, without CUDA's gigabytes.
#
#   docker build --file deploy/docker/consumer.Dockerfile --tag urgency-router .
#   docker run --gpus all --read-only --tmpfs /tmp --stop-timeout 60 --volume "$PWD/bundle:/bundle:ro" \
#     --publish 127.0.0.1:9108:9108 urgency-router --bootstrap-servers kafka:9092

# CUDA and cuDNN come with the base, of the version that constraints.txt has for torch, and not as wheels (the
# extra `cuda`). They are most of the image: here a node pulls them once, in layers that other images share, and
# in the environment's layer it would pull them anew with every changed pin. ONNX Runtime's preload_dlls finds
# no wheels, then asks the loader, which knows the base's. And the base refuses to start on too old a driver.
ARG BASE=nvidia/cuda:13.0.3-cudnn-runtime-ubuntu24.04

FROM ${BASE} AS with-python
# Ubuntu's archive keeps only the newest build of a package: a pin would break with the next one.
# hadolint ignore=DL3008
RUN --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3

FROM with-python AS build
# hadolint ignore=DL3008
RUN --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-pip python3-venv
RUN python3 -m venv --without-pip /opt/venv
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY consumer consumer
# Wheels alone, since nothing here compiles; quotequail, which is Python alone, comes as source.
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip --python /opt/venv install --only-binary :all: --no-binary quotequail \
    --constraint constraints.txt '.[email,traces]'

FROM with-python
COPY --from=build /opt/venv /opt/venv
COPY deploy/docker/health_check.py /opt/health_check.py
# Whatever looks for a home to write to (CUDA keeps kernels that it compiled) finds the one writable place.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    CONSUMER_BUNDLE=/bundle \
    CONSUMER_METRICS_PORT=9108
# A number, since Kubernetes cannot tell of a name whether it is root.
USER 10001:10001
EXPOSE ${CONSUMER_METRICS_PORT}
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "/opt/health_check.py"]
# The consumer is the first process: SIGTERM reaches it, and it publishes what is in flight.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "consumer"]
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="urgency-router" \
      org.opencontainers.image.description="Classifies comments on Kafka and routes each by its urgency" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
