# Drover as a container image: `docker build -t drover .`
FROM debian:12-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential ca-certificates curl npm pkg-config \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/root/.cargo/bin:$PATH SQLX_OFFLINE=true CARGO_TARGET_DIR=/target
# Must be at least the workspace's `rust-version`.
ARG RUST_VERSION=1.95.0
RUN curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs \
    | sh -s -- -y --profile minimal --default-toolchain "$RUST_VERSION" --target wasm32-unknown-unknown
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/target --mount=type=cache,target=/root/.cargo/registry \
    cargo run --locked -p xtask -- frontend --release \
    && cargo build --locked --release -p drover-server \
    && cp /target/release/drover /drover

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl git openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --create-home drover
COPY --from=build /drover /usr/local/bin/drover
USER drover
ENV DROVER_LISTEN=0.0.0.0:8080 DROVER_DATA_DIR=/data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["curl", "-fsS", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["drover"]
CMD ["serve"]
