# Fine-tuning and export, on a GPU or, slowly, without one: `python -m` with the arguments given.
#
#   docker build --file deploy/docker/finetune.Dockerfile --tag urgency-router-finetune .
#   run="docker run --rm --gpus all --shm-size 8g --user $(id -u):$(id -g)
#     --volume urgency-router-cache:/cache --volume $PWD:/work urgency-router-finetune"
#   $run finetune --data reviews.tsv.gz --output checkpoint
#   $run torch.distributed.run --nproc_per_node 4 -m finetune --data reviews.tsv.gz --output checkpoint
#   $run export checkpoint --output bundle

# A plain base: PyTorch's wheels bring CUDA and cuDNN, which constraints.txt pins, and load no others. ONNX
# Runtime's preload_dlls finds them too, so that the exported model is compared on the GPU.
ARG BASE=ubuntu:24.04

FROM ${BASE}
# Ubuntu's archive keeps only the newest build of a package: a pin would break with the next one.
# hadolint ignore=DL3008
RUN --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
    python3 python3-pip python3-venv
RUN python3 -m venv --without-pip /opt/venv
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY consumer consumer
COPY export export
COPY finetune finetune
# One stage, since a copy of the environment into another would take its 6 GB a second time to build.
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip --python /opt/venv install --only-binary :all: --constraint constraints.txt \
    '.[finetune,export]'
# Anyone may write there: who owns the files in a mounted directory is up to `--user`.
RUN install --directory --mode 1777 /cache /work
# Base models by their hub id are kept between runs.
VOLUME /cache
WORKDIR /work
# What NVIDIA's base images say, and this one lacks: give the container the GPUs, and refuse an older driver.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    HF_HOME=/cache/huggingface \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_REQUIRE_CUDA=cuda>=13.0
USER 10001:10001
ENTRYPOINT ["python", "-m"]
CMD ["finetune", "--help"]
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="urgency-router-finetune" \
      org.opencontainers.image.description="Fine-tunes BERT on star ratings, and exports it" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
