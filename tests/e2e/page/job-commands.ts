/** The commands that the page of a job shows, as a shell runs them. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { commandsOf } from '../../../src/page/screens/job/how.ts';
import type { Job } from '../../../src/protocol/job.ts';
import { PROGRAM } from '../../helpers/program.ts';
import type { FakeSystem } from '../fake-system.ts';

const LATER = new Date(Date.now() + 3_600_000).toISOString();
/** It is printed by its id, as by `POST /v1/jobs`. */
const BULLPEN = `bullpen() { word="$1"; shift; "${process.execPath}" "${PROGRAM}" "$word" --detach "$@"; }\n`;

const EVERY_OPTION = {
  prompt: '-n begins\nwith "a hyphen", has \'quotes\' $HOME `id` \\ \x1b[2J \u202e 💥 ',
  ...{ provider: 'claude', model: 'opus', effort: 'high', permissionMode: 'plan', background: 'stop' },
  ...{ allowedTools: ['Read', "Bash(echo 'it''s' $HOME *)"], disallowedTools: ['Write', 'mcp__x__*'] },
  ...{ onPermissionDenied: 'ask', approvalTimeoutMs: 7001, appendSystemPrompt: "it's\n-- $(id)" },
  ...{ outputSchema: { type: 'object' }, providerOptions: { fallbackModel: 'haiku' } },
  ...{ limits: { processes: 50 }, maxTurns: 3, maxCostUsd: 0.1 + 0.2, timeoutMs: 5_400_000 },
  ...{ idleTimeoutMs: 61_000, ttlMs: 7_200_000, priority: -5, runAt: LATER },
  ...{ retry: { maxAttempts: 4, mode: 'restart' }, continuePrompt: '-go "on"', autoContinue: false },
  ...{ onQuota: 'wait', quotaTimeoutMs: 86_400_000, concurrencyKey: "-k 'x'", tags: ['-t', ' a b '] },
  metadata: { k: 'v=w', "it's": '-\n' },
};

export function commandsOfJob(system: () => FakeSystem): void {
  describe('a command that the page of a job shows', () => {
    async function shell(script: string): Promise<string> {
      const { server, newFile } = system();
      const file = newFile('script');
      writeFileSync(file, script);
      const { stdout } = await promisify(execFile)('bash', ['-c', '. "$0" < /dev/null', file], {
        env: {
          ...{ BULLPEN_URL: server.url, BULLPEN_TOKEN: server.token, HOME: server.home },
          ...{ PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' },
        },
      });
      return stdout;
    }

    it('makes the same job, by bullpen and by curl', { timeout: 120_000 }, async () => {
      const { server } = system();
      const first = await server.run({ prompt: 'first' });
      const requests = [
        EVERY_OPTION,
        { prompt: 'next', sessionId: first.sessionId, runAt: LATER },
        ...['--help', `${"it's ".repeat(40_000)}.`].map((prompt) => ({ prompt, runAt: LATER })),
      ];
      for (const asked of requests) {
        const job = await server.run(asked, 0);
        expect(job.request).toMatchObject(asked);
        const [how] = commandsOf(job, server.url);
        const again = await server.job((await shell(BULLPEN + how?.bullpen)).trim());
        const left: readonly string[] = how?.left ?? [];
        expect(left).toEqual(asked === EVERY_OPTION ? ['outputSchema', 'providerOptions', 'limits'] : []);
        const said = Object.entries(job.request).filter(([name]) => !left.includes(name));
        expect(again.request).toEqual(Object.fromEntries(said));
        const { request }: Job = JSON.parse(await shell(how?.curl ?? ''));
        expect(request).toEqual(job.request);
      }
    });
  });
}
