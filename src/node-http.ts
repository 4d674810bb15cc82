/**
 * What the server uses of Node's `http`. An `import` of `node:http` reads all its exports, and one
 * of them loads undici: 60 ms of CPU time and 3 MB at each start.
 */
export const { Agent, ServerResponse, STATUS_CODES, createServer, request } =
  process.getBuiltinModule('node:http');
