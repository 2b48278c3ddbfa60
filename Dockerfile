# Our own images, for docker-compose.yaml. NOT YET BUILT: written where no Docker engine is.
#
#   runtime   chaincode servers and clients
#   drand     the beacon node, from the pinned module in network/programs/drand
#   setup     the one-shot set-up services: runtime, and the command-line programs of Fabric, IPFS, drand
#
# The versions are those of network/compose_services.py; tests/unit/test_compose.py keeps them equal.

FROM hyperledger/fabric-tools:2.5.12 AS fabric
FROM ipfs/kubo:v0.43.0 AS kubo
FROM ipfs/ipfs-cluster:v1.1.6 AS cluster

# The tag lets drand's nodes talk in plain text, inside the compose network; the published image insists on TLS.
FROM golang:1.26.0-trixie AS drand-build
WORKDIR /build
COPY network/programs/drand ./
RUN GOBIN=/build/bin go install -tags conn_insecure tool

FROM debian:trixie-slim AS drand
COPY --from=drand-build /build/bin/drand /usr/local/bin/drand
USER 1000:1000

# trixie: as new a C library as any of the programs above was built with
FROM python:3.11-slim-trixie AS runtime
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app
WORKDIR /app
COPY requirements.lock ./
# The lock is complete; without --no-deps, pip would stumble over old pins of fabric-sdk-py.
RUN pip install --no-cache-dir --require-hashes --no-deps --requirement requirements.lock
COPY chaincode chaincode
COPY network network
COPY fl_client fl_client
RUN useradd --uid 1000 --create-home candor
USER 1000:1000

FROM runtime AS setup
COPY --from=fabric /usr/local/bin/peer /usr/local/bin/configtxgen /usr/local/bin/cryptogen \
    /usr/local/bin/osnadmin /usr/local/bin/
COPY --from=kubo /usr/local/bin/ipfs /usr/local/bin/
COPY --from=cluster /usr/local/bin/ipfs-cluster-service /usr/local/bin/
COPY --from=drand /usr/local/bin/drand /usr/local/bin/
# It gives every node's files to the user that node runs as.
USER root
