# The image of the operator and of the gateway: one static binary, the certificates of public authorities, nothing else.
#   docker build -t registry.example.com/firedrill:0.1.0 .
# Rust's Alpine image links statically against musl. The AWS SDK wants some 8 GB of memory and 20 minutes.
FROM rust:1.95-alpine AS build
# C and assembler: SQLite, and the cryptography of TLS.
RUN apk add --no-cache build-base cmake perl linux-headers ca-certificates binutils
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin firedrill && cp target/release/firedrill /firedrill \
    # Nothing that the empty image below would have to bring.
    && ! readelf --dynamic /firedrill | grep NEEDED

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /firedrill /firedrill
USER 65532:65532
ENTRYPOINT ["/firedrill"]
