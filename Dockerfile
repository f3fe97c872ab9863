# Bases are arguments, to be given with their digests where the image is built: <name>:<tag>@sha256:<64 hexadecimal digits>.
# Without digests nothing is built, but for a trial with UNPINNED_BASES=allowed.
ARG NODE_IMAGE=node:24-bookworm-slim
ARG RUNTIME_IMAGE=node:24-bookworm-slim
ARG UNPINNED_BASES=refused

FROM ${NODE_IMAGE} AS build
ARG NODE_IMAGE
ARG RUNTIME_IMAGE
ARG UNPINNED_BASES
RUN for base in "$NODE_IMAGE" "$RUNTIME_IMAGE"; do \
      if [ "$UNPINNED_BASES" != allowed ] && ! echo "$base" | grep -Eq '^[^@]+@sha256:[0-9a-f]{64}$'; then \
        echo "The base $base has no digest: docs/image.md" >&2; exit 1; \
      fi; \
    done
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY nest-cli.json tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build && rm -f dist/.tsbuildinfo && npm prune --omit=dev --ignore-scripts && \
    find node_modules \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -type f -delete

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.4.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="olares-secret-provider" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="https://github.com/beclab/olares-secret-provider" \
      org.opencontainers.image.description="The secret service of an Olares cluster" \
      org.opencontainers.image.licenses="Apache-2.0"
# glibc would keep eight heaps for each processor, with a remainder of memory in each: docs/bench.md, "The start".
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 DATA_DIR=/data MALLOC_ARENA_MAX=2
WORKDIR /app
COPY --from=build --chown=0:0 /app/package.json ./
COPY --from=build --chown=0:0 /app/node_modules ./node_modules
COPY --from=build --chown=0:0 /app/dist ./dist
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
  CMD ["node", "--disable-sigusr1", "-e", "fetch('http://127.0.0.1:'+(process.env.METRICS_PORT||process.env.PORT||8080)+'/livez').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
# What the flags are for, and why there are no others: docs/decisions/0020-hardened-process.md; of the last: 0014. The first needs Node 22.14 or newer.
ENTRYPOINT ["node", "--disable-sigusr1", "--disallow-code-generation-from-strings", "--disable-proto=delete", "--max-semi-space-size=4", "--heap-growing-percent=100", "dist/main.js"]
