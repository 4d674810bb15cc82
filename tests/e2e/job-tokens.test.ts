/** Job tokens through a whole server: a shell is the CLI, and its prompt is a script. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { PROGRAM } from '../helpers/program.ts';
import { sharedServer, type TestServer } from '../helpers/server.ts';

const BULLPEN = `'${process.execPath}' --no-warnings '${PROGRAM}'`;
const PROVIDER = { binary: 'sh', args: ['-s'] };
const custom = { script: PROVIDER, other: PROVIDER };

/** A request from inside a job. Prints the body and, on a line of its own, the status. */
const call = (method: string, path: string, body?: unknown): string =>
  [
    `curl -s -w '\\n%{http_code}\\n' -X ${method} "$BULLPEN_URL${path}"`,
    '-H "Authorization: Bearer $BULLPEN_JOB_TOKEN" -H "Content-Type: application/json"',
    body === undefined ? '' : `-d '${JSON.stringify(body)}'`,
  ].join(' ');

const textOf = ({ outcome }: Job): string => outcome?.text ?? expect.unreachable();

async function newKey(
  server: TestServer,
  more: Record<string, unknown>,
): Promise<{ id: string; token: string }> {
  const body = { name: 'team', project: 'web', scopes: ['jobs:write'], ...more };
  return (await (await server.api('POST', '/v1/keys', body)).json()) as { id: string; token: string };
}

/** A job of a key, or of the admin, with the provider `script`. */
async function run(server: TestServer, prompt: string, token: string | null = null, wait = 60): Promise<Job> {
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  const body = { provider: 'script', prompt };
  return (await (await server.api('POST', `/v1/jobs?wait=${wait}`, body, headers)).json()) as Job;
}

describe('a job with a token', () => {
  const shared = sharedServer(() => ({
    env: { BULLPEN_JOB_TOKENS: 'on' },
    config: { providers: { custom } },
  }));

  it('has a token that no event shows, and that is worth nothing after its end', async () => {
    const server = shared();
    const file = join(server.workspace, 'token');
    const job = await run(server, `printf %s "$BULLPEN_JOB_TOKEN" > token; echo "[$BULLPEN_JOB_TOKEN]"`);
    expect(textOf(job).trim()).toBe('[[redacted]]');
    const authorization = `Bearer ${readFileSync(file, 'utf8')}`;
    expect(authorization).toMatch(/^Bearer bp_job_/);
    expect((await server.api('GET', '/v1/jobs', undefined, { authorization })).status).toBe(401);
    expect(server.log()).not.toContain(authorization.slice('Bearer '.length));
  });

  it('reads and makes jobs of its project only, and administers nothing', async () => {
    const server = shared();
    const foreign = await run(server, 'echo foreign');
    const key = await newKey(server, {});
    const asked = [
      call('GET', `/v1/jobs/${foreign.id}`),
      call('GET', '/v1/keys'),
      call('POST', '/v1/keys', { name: 'mine', scopes: ['admin'] }),
      call('GET', '/v1/audit'),
      call('GET', '/metrics'),
      call('POST', '/v1/queue/pause', {}),
      call('GET', '/v1/jobs'),
    ];
    const job = await run(server, asked.map((one) => `${one} | tail -n 1`).join('\n'), key.token);
    expect(textOf(job).trim().split('\n')).toEqual(['404', '403', '403', '403', '403', '403', '200']);
  });

  it('has the grant of its key, and gives no more to the jobs that it makes', async () => {
    const server = shared();
    const key = await newKey(server, { providers: ['script'] });
    const body = (provider: string) => ({ provider, prompt: 'echo hi' });
    const script = `${call('POST', '/v1/jobs', body('other'))}; ${call('POST', '/v1/jobs', body('script'))}`;
    const text = textOf(await run(server, script, key.token));
    expect(text).toMatch(/^.*"provider.denied".*\n4\d\d\n.*\n202\n?$/);
  });

  it('counts against the limits of its key, as the jobs that it makes do', async () => {
    const server = shared();
    const key = await newKey(server, { jobsPerHour: 3 });
    const make = call('POST', '/v1/jobs', { provider: 'script', prompt: 'echo hi' });
    const inside = `${BULLPEN} run --provider script 'echo hi' 2>&1`; // one more, made by another job
    const job = await run(server, [inside, make, make].join('\n'), key.token);
    expect(textOf(job)).toMatch(/hi.*\n202\n.*"limit.jobs_per_hour".*\n429/s);
    expect(await run(server, 'echo hi', key.token)).toMatchObject({ code: 'limit.jobs_per_hour' });
  });

  it('makes jobs by `bullpen run`, as itself, three deep, and gets their answers', async () => {
    const server = shared();
    const script = join(server.workspace, 'nest.sh');
    writeFileSync(script, `echo level; ${BULLPEN} run --provider script "sh ${script}" 2>&1 || true\n`);
    const outer = await run(server, `sh ${script}`);
    const text = textOf(outer);
    expect(text.match(/level/g)).toHaveLength(4); // the job from outside, and three inside
    expect(text).toContain('jobs inside jobs go 3 deep');
    const made = await server.api('GET', `/v1/jobs?principal=job:${outer.id}`);
    expect(await made.json()).toMatchObject({ data: [{ provider: 'script', status: 'succeeded' }] });
  });

  it('loses its rights when its key is revoked', async () => {
    const server = shared();
    const key = await newKey(server, {});
    const until401 = `until ${call('GET', '/v1/jobs')} | grep -q '^401$'; do touch running; sleep 0.2; done; echo over`;
    const job = await run(server, until401, key.token, 0);
    const started = join(server.workspace, 'running');
    await eventually(() => readFileSync(started), { timeoutMs: 30_000 });
    await server.api('POST', `/v1/keys/${key.id}/revoke`);
    expect(textOf(await server.finished(job.id))).toContain('over');
  });
});
