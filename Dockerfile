# The probe as an image: docker build -t throttle-probe .
# One base for both stages, because a virtual environment names its interpreter by path.
ARG BASE=python:3.13-slim
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src

# The dependencies first: this layer changes only with the lock.
COPY requirements/run.lock requirements/build.lock requirements/
RUN python3 -m venv /venv \
 && /venv/bin/pip install --require-hashes --requirement requirements/run.lock \
 && python3 -m venv /build \
 && /build/bin/pip install --require-hashes --requirement requirements/build.lock

COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY data/asn data/asn
COPY probe probe
COPY analysis analysis
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /venv/bin/pip install --no-deps /wheels/*.whl \
 && /venv/bin/pip uninstall --yes pip


FROM ${BASE}
LABEL org.opencontainers.image.title="throttle-probe" \
      org.opencontainers.image.description="Shows, with odds, that a service is being slowed or its calls spoiled." \
      org.opencontainers.image.licenses="BSD-3-Clause"

RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin probe \
 && install --directory --owner=probe --group=probe --mode=0750 /data
COPY --from=build /venv /venv
COPY configs /etc/probe

# Only /data is written, so the image runs with a read-only root; /tmp is for a tmpfs.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PROBE_DATA=/data \
    PROBE_TARGETS=/etc/probe/targets.toml \
    MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
WORKDIR /data
VOLUME /data

# Ctrl-C and `docker stop` are the same to the probe: it ends within 2 s and keeps what is done.
STOPSIGNAL SIGINT
HEALTHCHECK --interval=10m --timeout=10s --start-period=30m CMD ["probe", "health"]
ENTRYPOINT ["probe"]
CMD ["run"]
