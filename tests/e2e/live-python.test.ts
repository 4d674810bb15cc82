/** A client in another language, written from docs/live.md alone. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import type { Session } from '../../src/protocol/session.ts';
import { startServer } from '../helpers/server.ts';

const CLIENT = join(fileURLToPath(import.meta.url), '../../fixtures/live-client.py');
const ROWS = 40;
/** Rows for half a second, so that some are written while the client has no connection. */
const LINE = `for i in $(seq ${ROWS}); do echo "row $i of {n}, é€"; sleep 0.01; done`;

it('a client in Python resumes after a lost connection, and types each line once', async () => {
  const server = await startServer({
    config: { terminals: { enabled: true, commands: { bash: { binary: 'bash', args: ['--norc'] } } } },
  });
  const opened = await server.api('POST', '/v1/sessions', { kind: 'terminal', command: 'bash' });
  expect(opened.status, await opened.clone().text()).toBe(201);
  const { id } = (await opened.json()) as Session; // the documented answer

  const client = await promisify(execFile)('python3', [CLIENT, server.url, id, LINE, `row ${ROWS} of {n},`], {
    timeout: 60_000,
    env: { PATH: process.env['PATH'], PYTHONIOENCODING: 'utf-8', BULLPEN_TOKEN: server.token },
  });

  expect(JSON.parse(client.stdout)).toMatchObject({ principal: 'admin', repeated: true });
  const rows = [...client.stderr.matchAll(/row (\d+) of (\d), é€/g)].map(([, row, line]) => `${line}:${row}`);
  expect(rows).toEqual(
    [1, 2, 3].flatMap((line) => Array.from({ length: ROWS }, (_, i) => `${line}:${i + 1}`)),
  );
});
