# syntax=docker/dockerfile:1
# The server, its sandboxed workers and the claude CLI, as an unprivileged user.
#   docker build -t bullpen .
#   docker run --init -p 127.0.0.1:3000:3000 -e BULLPEN_ALLOW_PLAIN_HTTP=on \
#     -v bullpen-data:/data -v "$PWD":/workspace bullpen
# Without that variable the server does not start: it cannot see that the port is published on loopback only.
# For another address, put a proxy with HTTPS in front and set BULLPEN_PUBLIC_URL instead.
#
# An executor for a server on another host (docs/executor.md):
#   docker build --target executor -t bullpen-executor .

ARG NODE_IMAGE=node:24-bookworm-slim
# The version the tests run with; keep it equal to the devDependency in package.json.
ARG CLAUDE_CODE_VERSION=2.1.329

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# Without scripts: the page is built below, and this image has the Node that a script would install.
RUN npm ci --ignore-scripts
COPY tsconfig*.json ./
COPY src ./src
COPY workers ./workers
COPY scripts ./scripts
RUN npm run build

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts

# The package is a placeholder beside a platform package; its install script puts the native binary in place.
FROM ${NODE_IMAGE} AS claude
ARG CLAUDE_CODE_VERSION
RUN npm install --global --prefix /opt/claude --ignore-scripts "@anthropic-ai/claude-code@${CLAUDE_CODE_VERSION}" \
 && node /opt/claude/lib/node_modules/@anthropic-ai/claude-code/install.cjs \
 && HOME=/tmp /opt/claude/bin/claude --version

FROM ${NODE_IMAGE} AS runtime
# git is what coding agents use most; setpriv, which ties child processes to the server, is in the base.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git procps \
 && rm -rf /var/lib/apt/lists/* \
 && install --directory --owner=node --group=node --mode=0700 /data /data/home \
 && install --directory --owner=node --group=node --mode=0755 /workspace
WORKDIR /app
COPY --from=claude /opt/claude/lib/node_modules/@anthropic-ai/claude-code/bin/claude.exe /usr/local/bin/claude
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY --from=build /app/src/bin.js ./src/bin.js
COPY package.json ./

# HOME is on the volume: the CLI keeps its login and its conversations there. The image is updated, not the CLI.
ENV NODE_ENV=production \
    HOME=/data/home \
    BULLPEN_HOME=/data \
    BULLPEN_CWD=/workspace \
    DISABLE_AUTOUPDATER=1
USER node
VOLUME ["/data", "/workspace"]
STOPSIGNAL SIGTERM

# The executor alone. It needs no Redis; its secret comes from CLAUDE_SERVICE_SECRET_FILE.
FROM runtime AS executor
ENV CLAUDE_SERVICE_HOST=0.0.0.0
EXPOSE 3001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.CLAUDE_SERVICE_PORT || 3001}/health`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "src/bin.js", "executor"]

# The last stage is the one that `docker build .` makes.
FROM runtime AS server
ENV BULLPEN_HOST=0.0.0.0
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.BULLPEN_PORT || process.env.PORT || 3000}/health`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "src/bin.js", "serve"]
