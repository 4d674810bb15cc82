import { describe, expect, it } from 'vitest';
import type { TemporaryServer } from '../../../src/cli/command.ts';
import { AppError } from '../../../src/errors.ts';
import { aJob, anOutcome, JOB_ID } from '../client/job.ts';
import { type Answer, json, problem, startScriptedServer } from '../client/scripted-server.ts';
import { at, FINISHED, finished, item, READY, sse } from './answers.ts';
import { manualInterrupts, type as typed } from './harness.ts';

describe('run', () => {
  it('sends the prompt with the folder the caller is in, and prints the answer alone', async () => {
    const server = await startScriptedServer(
      READY,
      json(202, aJob()),
      sse({ kind: 'text.delta', text: 'Hello' }, finished()),
    );
    const { code, out, err } = await typed(['run', 'Say hello', '--tag', 'a'], at(server.url));
    expect([code, out]).toEqual([0, 'Hello\n']);
    expect(err).toContain('succeeded · $0.0042 (reported)');
    const body: unknown = JSON.parse(server.requests[1]?.body ?? '');
    expect(body).toEqual({ prompt: 'Say hello', cwd: '/work', tags: ['a'], onQuota: 'fail' });
  });

  it.each([
    ['on a terminal', [], true, undefined],
    ['when asked to', ['--on-quota', 'wait'], false, 'wait'],
    ['of a detached job', ['--detach'], false, undefined],
  ])('waits for the end of a usage limit %s', async (_what, options, terminal, onQuota) => {
    const scheduledFor = new Date(2030, 0, 2, 3, 0).toISOString();
    const waits = { kind: 'job.scheduled', waitReason: 'quota', scheduledFor } as const;
    const server = await startScriptedServer(READY, json(202, aJob()), sse(waits, finished()));
    const { code, err } = await typed(['run', 'Hi', ...options], { ...at(server.url), terminal });
    expect(code).toBe(0);
    const made = server.requests.find(({ method }) => method === 'POST');
    expect(JSON.parse(made?.body ?? '').onQuota).toBe(onQuota);
    if (terminal) expect(err).toContain('limit until Wed Jan 02 2030 03:00');
  });

  it('exits with 75 when a usage limit failed the job', async () => {
    const error = { code: 'execution.quota', message: 'limit', retryable: false, resetsAt: null };
    const job = aJob({ status: 'failed', finished: true, outcome: anOutcome({ status: 'failed', error }) });
    const server = await startScriptedServer(READY, json(202, aJob()), sse(finished(job)));
    expect((await typed(['run', 'Hi'], at(server.url))).code).toBe(75);
  });

  it.each([[['run']], [['run', '-']]])('%j takes the prompt from stdin as it is', async (args) => {
    const server = await startScriptedServer(READY, json(202, aJob()), sse(finished()));
    const { code } = await typed(args, { ...at(server.url), stdin: 'from stdin\n\n' });
    expect(code).toBe(0);
    expect(JSON.parse(server.requests[1]?.body ?? '')).toMatchObject({ prompt: 'from stdin\n\n' });
  });

  it.each([
    ['diff\n', 'Review this\ndiff\n'],
    ['', 'Review this'],
    [' \n', 'Review this'],
    [null, 'Review this'],
  ])('puts %j from stdin behind the prompt', async (stdin, prompt) => {
    const server = await startScriptedServer(READY, json(202, aJob()), sse(finished()));
    expect((await typed(['run', 'Review this'], { ...at(server.url), stdin })).code).toBe(0);
    expect(JSON.parse(server.requests[1]?.body ?? '')).toMatchObject({ prompt });
  });

  it('refuses a stdin that is no text', async () => {
    const stdin = Buffer.from([0x61, 0xff, 0xfe]);
    const { code, err } = await typed(['run'], { ...at('http://127.0.0.1:9'), stdin });
    expect([code, err]).toEqual([64, 'bullpen: stdin is not UTF-8 text\n']);
  });

  it('says that the job is gone when it was deleted as it ended', async () => {
    const last = sse({ kind: 'job.finished', job: null });
    const server = await startScriptedServer(READY, json(202, aJob()), last, problem(404, 'job.not_found'));
    const { code, err } = await typed(['run', 'x'], at(server.url));
    expect(code).toBe(64);
    expect(err).toContain('job.not_found');
  });

  it('with --json gives every event, also of kinds it does not know, and ends with the job', async () => {
    const events = [{ kind: 'hologram', depth: 3 }, finished()];
    const server = await startScriptedServer(READY, json(202, aJob()), sse(...events));
    const { out, err } = await typed(['run', 'x', '--json'], at(server.url));
    const lines = out
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(lines).toMatchObject([{ seq: 1, ...events[0] }, { seq: 2, kind: 'job.finished' }, FINISHED]);
    expect(lines[0]).not.toHaveProperty('raw');
    expect(err).toBe('');
  });

  it('with --detach prints the id, or the job, and does not wait', async () => {
    const server = await startScriptedServer(json(202, aJob()));
    expect((await typed(['run', 'x', '-d'], at(server.url))).out).toBe(`${JOB_ID}\n`);
    const again = await startScriptedServer(json(202, aJob()));
    expect(JSON.parse((await typed(['run', 'x', '-d', '--json'], at(again.url))).out)).toEqual(aJob());
  });

  it('ends with the exit code of the outcome', async () => {
    const error = { code: 'execution.timed_out', message: 'too long', retryable: false, resetsAt: null };
    const failed = aJob({
      status: 'failed',
      finished: true,
      outcome: anOutcome({ status: 'failed', error }),
    });
    const server = await startScriptedServer(READY, json(202, aJob()), sse(finished(failed)));
    const { code, err } = await typed(['run', 'x'], at(server.url));
    expect(code).toBe(124);
    expect(err).toContain('execution.timed_out: too long');
  });

  it('explains a refused folder that the caller did not name', async () => {
    const server = await startScriptedServer(READY, problem(400, 'cwd.not_allowed'));
    const { code, err } = await typed(['run', 'x'], at(server.url));
    expect(code).toBe(64);
    expect(err).toContain('the server may not run jobs in the current folder /work');
  });

  it('cancels the job at the first interrupt and waits for its end', async () => {
    const interrupts = manualInterrupts();
    const cancelled = aJob({
      status: 'cancelled',
      finished: true,
      outcome: anOutcome({ status: 'cancelled' }),
    });
    let stream: Parameters<Answer>[0] | null = null;
    const server = await startScriptedServer(
      READY,
      json(202, aJob()),
      (response) => {
        stream = response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.flushHeaders();
        interrupts.raise();
      },
      (response) => {
        response.writeHead(202, { 'content-type': 'application/json' }).end(JSON.stringify(aJob()));
        const event = { seq: 1, jobId: JOB_ID, attempt: 0, at: '', ...finished(cancelled) };
        stream?.end(`data: ${JSON.stringify(event)}\n\n`);
      },
    );
    const { code, err } = await typed(['run', 'x'], { ...at(server.url), interrupts });
    expect(code).toBe(130);
    expect(err).toContain('cancelling the job');
    expect(server.requests[3]).toMatchObject({ method: 'POST', body: '{"force":false}' });
    expect(server.requests).toHaveLength(4);
  });

  it('kills the job at the second interrupt and leaves without its end', async () => {
    const interrupts = manualInterrupts();
    const server = await startScriptedServer(
      READY,
      json(202, aJob()),
      (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.flushHeaders();
        interrupts.raise();
      },
      (response, request) => {
        interrupts.raise();
        return json(202, aJob())(response, request);
      },
      json(202, aJob()),
    );
    const { code, err } = await typed(['run', 'x'], { ...at(server.url), interrupts });
    expect(code).toBe(130);
    expect(err).toContain(`exiting; the server kills job ${JOB_ID}`);
    expect(server.requests.slice(3).map(({ body }) => body)).toEqual(['{"force":false}', '{"force":true}']);
  });

  it('cancels a job that was being made when the interrupt came', async () => {
    const interrupts = manualInterrupts();
    const cancelled = aJob({ status: 'cancelled', finished: true });
    const server = await startScriptedServer(READY, (response, request) => {
      if (request.url.pathname === '/v1/jobs') {
        interrupts.raise();
        return json(202, aJob())(response, request);
      }
      return request.method === 'POST'
        ? json(202, cancelled)(response, request)
        : sse(finished(cancelled))(response, request);
    });
    const { code } = await typed(['run', 'x'], { ...at(server.url), interrupts });
    expect(code).toBe(130);
    expect(server.requests.map(({ url }) => url.pathname)).toContain(`/v1/jobs/${JOB_ID}/cancel`);
  });

  it.each([[['run', 'x']], [['run', 'x', '--detach']], [['retry', JOB_ID]]])(
    '%j leaves at the second interrupt when the server does not answer',
    async (args) => {
      const interrupts = manualInterrupts();
      const server = await startScriptedServer((response, request) => {
        if (request.method !== 'POST') return json(200, { data: [], ...aJob() })(response, request);
        interrupts.raise();
        interrupts.raise();
      });
      const { code, out, err } = await typed(args, { ...at(server.url), interrupts });
      expect([code, out]).toEqual([130, '']);
      expect(err).toContain('exiting; the job may have been made');
      expect(server.requests.filter(({ method }) => method === 'POST')).toHaveLength(1);
    },
  );
});

/** No other command uses the server. */
const NOTHING_ELSE = json(200, { data: [], nextCursor: null });

describe('run without a server', () => {
  /** Starts scripted servers as if they were Bullpen, and logs what happens to them. */
  function starter(...answers: readonly Answer[]) {
    const log: string[] = [];
    return {
      log,
      async startServer({ cwd }: { cwd: string }): Promise<TemporaryServer> {
        const server = await startScriptedServer(...answers);
        log.push(`started for ${cwd}`);
        return {
          url: server.url,
          token: 'own',
          async stop(hurry) {
            const how = hurry.aborted ? 'stopped in a hurry' : 'stopped';
            log.push(`${how} after ${server.requests.length} requests`);
          },
        };
      },
    };
  }

  it('starts one for the job, in its folder, and stops it after the job', async () => {
    const own = starter(json(202, aJob()), sse(finished()), NOTHING_ELSE);
    const { code, out } = await typed(['run', 'x', '--cwd', 'sub'], own);
    expect([code, out]).toEqual([0, 'done\n']);
    expect(own.log).toEqual(['started for /work/sub', 'stopped after 4 requests']);
  });

  it('stops it too when the job is refused', async () => {
    const own = starter(problem(422, 'provider.unsupported_option'), NOTHING_ELSE);
    const { code } = await typed(['run', 'x'], own);
    expect(code).toBe(64);
    expect(own.log.at(-1)).toBe('stopped after 3 requests');
  });

  it('does so when the noted server no longer listens', async () => {
    const gone = await startScriptedServer(READY);
    await gone.stop();
    const own = starter(json(202, aJob()), sse(finished()), NOTHING_ELSE);
    const finder = {
      home: async () => '/data',
      find: async () => ({
        kind: 'found' as const,
        place: { url: gone.url, token: 't', tokenFrom: 'f', of: 'serve' as const },
      }),
    };
    const { code, err } = await typed(['run', 'x'], { ...own, finder: () => finder });
    expect(code).toBe(0);
    expect(err).toContain(`no server is running at ${gone.url}; starting one`);
  });

  it('does not when an address was named on purpose, nor for a detached job', async () => {
    const gone = await startScriptedServer(READY);
    await gone.stop();
    const own = starter();
    const named = await typed(['run', 'x'], { ...own, ...at(gone.url) });
    expect(named).toMatchObject({ code: 69, err: expect.stringContaining('no server is running at') });
    const detached = await typed(['run', 'x', '--detach'], own);
    expect(detached).toMatchObject({ code: 69, err: expect.stringContaining('bullpen up') });
    expect(own.log).toEqual([]);
  });

  it('stops at once when it was interrupted while starting', async () => {
    const interrupts = manualInterrupts();
    const own = starter(NOTHING_ELSE);
    const startServer = async (options: { cwd: string }): Promise<TemporaryServer> => {
      interrupts.raise();
      return own.startServer(options);
    };
    const { code } = await typed(['run', 'x'], { startServer, interrupts });
    expect(code).toBe(130);
    expect(own.log).toEqual(['started for /work', 'stopped after 2 requests']);
  });

  it('stops it only after the jobs that other commands have made', async () => {
    const others = json(200, { data: [item()], nextCursor: null });
    const own = starter(json(202, aJob()), sse(finished()), others, others, NOTHING_ELSE);
    const { code, err } = await typed(['run', 'x'], own);
    expect(code).toBe(0);
    expect(err.match(/other jobs that use this server/g)).toHaveLength(1);
    expect(own.log.at(-1)).toBe('stopped after 6 requests');
  });

  it('waits for those that will be tried again, and names those that are due later', async () => {
    const page = (...data: readonly object[]) => json(200, { data, nextCursor: null });
    const later = {
      status: 'scheduled',
      waitReason: 'delayed',
      scheduledFor: '2026-11-21T13:00:00Z',
    } as const;
    const delayed = item(later);
    const backoff = item({ ...later, waitReason: 'backoff' });
    const own = starter(json(202, aJob()), sse(finished()), page(delayed, backoff), page(delayed));
    const { code, err } = await typed(['run', 'x'], own);
    expect(code).toBe(0);
    expect(err).toContain(`1 job continues with the next server: ${JOB_ID} (due in 1 h 0 min)`);
    expect(own.log.at(-1)).toBe('stopped after 5 requests');
  });

  it('stops it at once when it is interrupted while it waits for them', async () => {
    const interrupts = manualInterrupts();
    const others: Answer = (response, request) => {
      interrupts.raise();
      return json(200, { data: [item()], nextCursor: null })(response, request);
    };
    const own = starter(json(202, aJob()), sse(finished()), others);
    const { code } = await typed(['run', 'x'], { ...own, interrupts });
    expect(code).toBe(0);
    expect(own.log.at(-1)).toBe('stopped in a hurry after 3 requests');
  });

  it('takes the one that another command has just started, and leaves it alone', async () => {
    const theirs = await startScriptedServer(READY, json(202, aJob()), sse(finished()));
    const none = { kind: 'none', why: 'no server is running', busy: false } as const;
    const there = {
      kind: 'found',
      place: { url: theirs.url, token: 't', tokenFrom: 'f', of: 'run' },
    } as const;
    const looks = [none, none, none, there] as const;
    let looked = 0;
    let tries = 0;
    const { code, err } = await typed(['run', 'x'], {
      finder: () => ({ home: async () => '/data', find: async () => looks[looked++] ?? there }),
      startServer: async () => {
        tries += 1;
        throw new AppError('config.locked', 'another server uses the data folder');
      },
    });
    expect([code, tries]).toEqual([0, 3]);
    expect(err.match(/another command is starting or stopping a server/g)).toHaveLength(1);
    expect(theirs.requests).toHaveLength(3);
  });

  /** The server of another command, which leaves while the stream is read. */
  async function leaving(...answers: readonly Answer[]) {
    const theirs = await startScriptedServer(...answers, async (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const event = { seq: 1, jobId: JOB_ID, attempt: 1, at: '', kind: 'text.delta', text: 'He' };
      response.write(`id: 1\ndata: ${JSON.stringify(event)}\n\n`, () => void theirs.stop());
    });
    const place = { url: theirs.url, token: 't', tokenFrom: 'f', of: 'run' } as const;
    let left = false;
    const finder = () => ({
      home: async () => '/data',
      async find() {
        if (left) return { kind: 'none', why: 'no server is running', busy: false } as const;
        left = true;
        return { kind: 'found', place } as const;
      },
    });
    return { finder };
  }
  const rest = sse({ kind: 'text.delta', text: 'He' }, { kind: 'text.delta', text: 'llo' }, finished());

  it('goes on with one of its own when the one it found leaves', async () => {
    const theirs = await leaving(READY, json(202, aJob()));
    const own = starter(rest, NOTHING_ELSE);
    const { code, out, err } = await typed(['run', 'x'], { ...theirs, ...own });
    expect([code, out]).toEqual([0, 'Hello\n']);
    expect(err).toContain('no server is running; starting one to go on');
    expect(own.log).toEqual(['started for /work', 'stopped after 3 requests']);
  });

  it.each([['watch'], ['retry']])('so does %s', async (command) => {
    const theirs = await leaving(json(200, aJob()));
    const { code, out } = await typed([command, JOB_ID], { ...theirs, ...starter(rest, NOTHING_ELSE) });
    expect([code, out]).toEqual([0, 'Hello\n']);
  });

  it('but not for a job that a server started here could not run: that waits for the next one', async () => {
    const theirs = await leaving(json(200, aJob({ cwd: '/elsewhere' })));
    const { code, err } = await typed(['watch', JOB_ID], {
      ...theirs,
      startServer: async ({ jobIn }) => {
        throw new AppError('cwd.not_allowed', `${jobIn}`);
      },
    });
    expect(code).toBe(69);
    expect(err).toContain('the job continues with the next server: cd /elsewhere && bullpen up');
  });

  it('gives up, with what holds the data folder, when that never becomes a server', async () => {
    const { code, err } = await typed(['run', 'x'], {
      startServer: async () => {
        throw new AppError('config.locked', 'another server uses the data folder');
      },
    });
    expect([code, err.trimEnd().split('\n').at(-1)]).toEqual([
      78,
      'bullpen: another server uses the data folder',
    ]);
  });
});
