# Flyball's images. `docker build --target serve -t flyball .` serves; `--target train` builds models too.
#
# Behind a proxy with a certificate of its own: --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt, and pip's settings
# as --secret id=pip,src=pip.conf. Neither stays in an image.

FROM python:3.11-slim-bookworm AS wheels
WORKDIR /src
COPY constraints.txt pyproject.toml setup.py README.md LICENSE ./
COPY src src
ARG EXTRAS=postgres,console
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    if [ -f /run/secrets/pip ]; then export PIP_CONFIG_FILE=/run/secrets/pip; fi; \
    python3 -m venv /opt/flyball \
    && /opt/flyball/bin/pip install --quiet --no-cache-dir --no-compile --constraint constraints.txt ".[${EXTRAS}]" \
    && /opt/flyball/bin/pip uninstall --quiet --yes pip setuptools \
    && find /opt/flyball -name '__pycache__' -prune -exec rm -rf {} + \
    && find /opt/flyball -name 'tests' -type d -prune -exec rm -rf {} +

FROM wheels AS train-wheels
ARG TRAIN_EXTRAS=all
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    if [ -f /run/secrets/pip ]; then export PIP_CONFIG_FILE=/run/secrets/pip; fi; \
    python3 -m venv /opt/train \
    && /opt/train/bin/pip install --quiet --no-cache-dir --no-compile --constraint constraints.txt torch \
    && /opt/train/bin/pip install --quiet --no-cache-dir --no-compile --constraint constraints.txt ".[${TRAIN_EXTRAS}]"

FROM python:3.11-slim-bookworm AS base
LABEL org.opencontainers.image.title="Flyball" \
      org.opencontainers.image.description="Closed-loop LLMOps: from raw rows to a served, watched and improved model" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# llama.cpp computes with OpenMP.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends libgomp1 > /dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && mkdir /project && chown 10001:10001 /project
USER 10001:10001
WORKDIR /project
VOLUME /project
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["flyball"]
CMD ["up", "--host", "0.0.0.0"]

FROM base AS train
COPY --from=train-wheels /opt/train /opt/train
ENV PATH=/opt/train/bin:$PATH

FROM base AS serve
COPY --from=wheels /opt/flyball /opt/flyball
ENV PATH=/opt/flyball/bin:$PATH
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
