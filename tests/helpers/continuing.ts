/**
 * A job of a real CLI that is cut off goes on in its session: the model sees the prompt once,
 * whether the CLI had saved it or not, and the cost is that of all executions.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RecordedRequest } from '../../scripts/offline-model/request-log.ts';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { Job } from '../../src/protocol/job.ts';
import { type Execution, sumOfUsage } from '../../src/protocol/outcome.ts';
import { eventually } from './eventually.ts';
import { findInPath, type RealCli } from './real-clis.ts';
import { launchServer, type TestServer } from './server.ts';
import { makeTempDir, removeDir } from './temp.ts';

const PATIENCE = { timeoutMs: 60_000 };
const CONTINUE = 'go on [[reply: done]]';

export function continues(cli: RealCli): void {
  describe(`${cli.name}, cut off in the middle of a turn`, () => {
    let model: OfflineModel;
    let server: TestServer;
    const dir = makeTempDir();
    const hang = join(dir, 'hang');

    const launch = (): Promise<TestServer> => {
      const { providers = {}, ...config } = cli.config(model);
      const own = { binary: join(dir, 'cli') };
      const merged = { ...providers, [cli.name]: { ...providers[cli.name], ...own } };
      const env = { ...cli.env(model), BULLPEN_RETRY_BACKOFF_MS: '100', CLAUDE_CODE_MAX_RETRIES: '0' };
      return launchServer({ dir, env, config: { ...config, providers: merged } });
    };

    beforeAll(async () => {
      model = await startOfflineModel();
      for (const [name, text] of Object.entries(cli.homeFiles)) {
        mkdirSync(dirname(join(dir, 'home', name)), { recursive: true });
        writeFileSync(join(dir, 'home', name), text);
      }
      // The next start hangs where there is a file of that name.
      const once = `if [ -e ${hang} ]; then mv ${hang} ${hang}ing; exec sleep 1000; fi`;
      const program = findInPath(cli.name, cli.env(model)['PATH'] ?? '');
      writeFileSync(join(dir, 'cli'), `#!/bin/sh\n${once}\nexec ${program} "$@"\n`, { mode: 0o755 });
      server = await launch();
    });
    afterAll(async () => {
      await server?.stop();
      removeDir(dir);
      await model?.stop();
    });

    /** Requests of the conversation with this prompt. */
    const about = (prompt: string): readonly RecordedRequest[] =>
      model.requests.filter(
        ({ kind, userTexts }) => kind === 'turn' && userTexts.join('\n').includes(prompt),
      );
    /** How often each of them has the prompt. */
    const times = (prompt: string): readonly number[] =>
      about(prompt).map(({ userTexts }) => userTexts.join('\n').split(prompt).length - 1);

    const begin = (prompt: string, options: Record<string, unknown> = {}): Promise<Job> =>
      server.run({ provider: cli.name, prompt, continuePrompt: CONTINUE, ...options }, 0);
    /** The model has the prompt, and the CLI has saved it, which may be a moment later. */
    const reached = (prompt: string): Promise<unknown> =>
      eventually(() => about(prompt).length === 1 && isSaved(prompt), PATIENCE);
    const isSaved = (prompt: string): boolean =>
      readdirSync(join(dir, 'home'), { recursive: true, withFileTypes: true }).some(
        (entry) =>
          entry.isFile() &&
          /\.jsonl?$/.test(entry.name) &&
          readFileSync(join(entry.parentPath, entry.name), 'utf8').includes(prompt),
      );

    /** The use and the cost of a job are the sum over its executions. */
    async function expectSum({ id, attempts, outcome }: Job): Promise<readonly Execution[]> {
      const response = await server.api('GET', `/v1/jobs/${id}/executions`);
      const { data } = (await response.json()) as { data: readonly Execution[] }; // the documented answer
      expect(data.map(({ attempt }) => attempt)).toEqual(Array.from({ length: attempts }, (_, at) => at + 1));
      expect(outcome?.usage).toEqual(data.map(({ usage }) => usage).reduce(sumOfUsage));
      return data;
    }

    it('goes on by itself after the server was killed', async () => {
      const prompt = 'Cut with the server.';
      model.setBehaviour('[[hang]]');
      const { id } = await begin(prompt);
      await reached(prompt);
      await eventually(async () => (await server.job(id)).nativeSessionId !== null, PATIENCE);
      await server.kill('SIGKILL');
      server = await launch();
      const job = await server.finished(id);
      expect(job).toMatchObject({ status: 'succeeded', attempts: 2, outcome: { text: 'done' } });
      expect(times(prompt)).toEqual([1, 1]);
      const [lost, last] = await expectSum(job);
      expect([lost?.status, lost?.outcome?.error?.code]).toEqual(['failed', 'execution.lost']);
      expect(lost).toMatchObject({
        provider: cli.name,
        node: job.node,
        nativeSessionId: job.nativeSessionId,
      });
      expect([last?.status, last?.id]).toEqual(['succeeded', job.outcome?.executionId]);
    });

    it('goes on in a retry after the CLI was killed before it got an answer', async () => {
      const prompt = 'Cut without an answer.';
      model.setBehaviour('[[hang: before]]');
      const first = await begin(prompt);
      await reached(prompt);
      await killCli(first);
      const cut = await server.finished(first.id);
      expect(cut).toMatchObject({ status: 'failed', outcome: { error: { code: 'execution.crashed' } } });
      const response = await server.api('POST', `/v1/jobs/${first.id}/retry`, {});
      const job = await server.finished(((await response.json()) as Job).id); // the documented answer
      expect(job).toMatchObject({ retryOf: first.id, sessionId: first.sessionId });
      expect(job.outcome).toMatchObject({ text: 'done', error: null });
      expect(times(prompt)).toEqual([1, 1]);
    });

    it('sends its prompt after the CLI was killed before it saved that', async () => {
      const prompt = 'Cut at its start.';
      writeFileSync(hang, '');
      const { id } = await begin(`${prompt} [[reply: answered]]`, { retry: { maxAttempts: 2 } });
      await eventually(() => existsSync(`${hang}ing`), PATIENCE);
      await server.kill('SIGKILL');
      server = await launch();
      const job = await server.finished(id);
      expect(job).toMatchObject({ status: 'succeeded', attempts: 2, outcome: { text: 'answered' } });
      expect(times(prompt)).toEqual([1]);
    });

    it('goes on after the vendor was overloaded, which is no attempt', async () => {
      const prompt = 'Turned away.';
      model.setBehaviour(`[[error: 529 times=1 key=${cli.name}]] [[reply: done]]`);
      const { id } = await begin(prompt);
      const job = await server.finished(id);
      expect(job).toMatchObject({ status: 'succeeded', attempts: 2, outcome: { text: 'done' } });
      expect(times(prompt).every((count) => count === 1)).toBe(true);
      await expectSum(job);
    });

    async function killCli({ id }: Job): Promise<void> {
      const headers = { accept: 'application/x-ndjson' };
      const response = await server.api('GET', `/v1/jobs/${id}/events`, undefined, headers);
      let text = '';
      for await (const chunk of (response.body ?? expect.unreachable()).pipeThrough(
        new TextDecoderStream(),
      )) {
        text += chunk;
        const pid = /"kind":"execution\.started".*?"pid":(\d+)/.exec(text)?.[1];
        if (pid !== undefined) return void process.kill(Number(pid), 'SIGKILL');
      }
      throw new Error(`no execution has started: ${text}`);
    }
  });
}
