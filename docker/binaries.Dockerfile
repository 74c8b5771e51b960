# Compiles a binary for AWS in a container; `scripts/compile` builds it with the repository as
# the context.
ARG RUST=rust:1.95-bookworm
FROM ${RUST} AS build
ARG BINARY
ARG ARCHITECTURE
WORKDIR /src
COPY . .
RUN scripts/compile "$BINARY" "$ARCHITECTURE" "/out/$BINARY"

FROM scratch
COPY --from=build /out/ /
