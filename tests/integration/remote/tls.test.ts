/** HTTPS between a server and an executor. What goes wrong there has sent nothing. */
import { writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer as createTcpServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer, getCACertificates, setDefaultCACertificates } from 'node:tls';
import { expect, it, onTestFinished, vi } from 'vitest';
import { createExecutorClient } from '../../../src/remote/client.ts';
import { wasNotSent } from '../../../src/remote/signed-requests.ts';
import { SECRET, scriptedExecutor } from '../../fakes/scripted-executor.ts';
import { type Certificate, createAuthority } from '../../helpers/certificates.ts';
import { EXECUTOR_SECRET, startExecutor } from '../../helpers/executor-program.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { startServer } from '../../helpers/server.ts';
import { tempDir } from '../../helpers/temp.ts';

const DAY_MS = 86_400_000;
const authority = createAuthority();

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port; // it listens on TCP
}

/** What ends TLS in front of an executor, as a proxy on its host does. */
const tlsInFrontOf = (target: string, certificate: Certificate): Promise<number> =>
  listening(
    createTlsServer(certificate, (caller) => {
      const executor = connect(Number(new URL(target).port), '127.0.0.1');
      caller.pipe(executor).pipe(caller);
      caller.on('error', () => executor.destroy());
      executor.on('error', () => caller.destroy());
    }),
  );

async function errorAt(url: string, timeoutMs = 30_000): Promise<unknown> {
  const client = createExecutorClient({ url, secret: SECRET, timeoutMs });
  onTestFinished(client.close);
  return client.known().catch((error: unknown) => error);
}

it('runs jobs over HTTPS, with an authority that NODE_EXTRA_CA_CERTS names', async () => {
  const executor = await startExecutor();
  const port = await tlsInFrontOf(executor.url, authority.issue('localhost'));
  const file = join(tempDir(), 'authority.pem');
  writeFileSync(file, authority.cert);
  const server = await startServer({
    env: {
      BULLPEN_EXECUTOR: 'http',
      CLAUDE_SERVICE_URL: `https://localhost:${port}`,
      CLAUDE_SERVICE_SECRET: EXECUTOR_SECRET,
      BULLPEN_CWD: executor.workspace,
      BULLPEN_ROOTS: executor.workspace,
      NODE_EXTRA_CA_CERTS: file,
    },
  });
  const job = await server.run({ prompt: fakePrompt([{ delta: 'over TLS' }]) });
  expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'over TLS', executor: 'http' } });
});

it.each([
  ['of an authority that it does not know', createAuthority('other').issue('127.0.0.1'), /unable to verify/],
  ['that has expired', authority.issue('127.0.0.1', Date.now() - DAY_MS), /has expired/],
  ['with another name', authority.issue('other.example'), /does not match certificate's altnames/],
])('sends nothing to a certificate %s, whatever NODE_TLS_REJECT_UNAUTHORIZED says', async (_, found, why) => {
  const trusted = getCACertificates('default');
  setDefaultCACertificates([...trusted, authority.cert]);
  onTestFinished(() => setDefaultCACertificates(trusted));
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  onTestFinished(() => void vi.unstubAllEnvs());
  const executor = await scriptedExecutor();
  const error = await errorAt(`https://127.0.0.1:${await tlsInFrontOf(executor.url, found)}`);
  expect(error).toMatchObject({ code: 'executor.unavailable', message: expect.stringMatching(why) });
  expect(wasNotSent(error)).toBe(true);
  expect(executor.requests).toEqual([]);
});

it('sends nothing where no TLS is spoken, and none while the handshake hangs', async () => {
  const plain = await scriptedExecutor();
  const refused = await errorAt(plain.url.replace('http:', 'https:'));
  expect(refused).toMatchObject({ code: 'executor.unavailable' });
  const hangs = createTcpServer((caller) => void caller.on('error', () => undefined).resume());
  const late = await errorAt(`https://127.0.0.1:${await listening(hangs)}`, 500);
  expect(String(late)).toContain('no TLS connection within 500 ms');
  for (const error of [refused, late]) expect(wasNotSent(error)).toBe(true);
});
