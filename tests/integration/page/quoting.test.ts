import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parseArguments } from '../../../src/cli/arguments.ts';
import { runCommand } from '../../../src/cli/commands/run.ts';
import { requestFields } from '../../../src/cli/request-options.ts';
import { bullpenOf, curl, quoted } from '../../../src/page/screens/jobs/commands.ts';
import type { PromptRequest } from '../../../src/protocol/prompt.ts';
import { random } from '../../helpers/random.ts';
import { randomRequest } from '../../helpers/random-requests.ts';

const ENV = { LC_ALL: 'C.UTF-8', PATH: '/usr/bin:/bin' };
const LONG = "it's \\ 💥\n".repeat(15_000);

/** What a shell makes of a script, in parts that end with NUL. */
function shell(script: string): readonly string[] {
  const { stdout, stderr } = spawnSync('bash', [], {
    ...{ input: script, encoding: 'utf8', env: ENV, maxBuffer: 256 * 1024 * 1024 },
  });
  expect(stderr).toBe('');
  return stdout.split('\0').slice(0, -1);
}

describe('a word of a command that the page shows', () => {
  it.each(['', 'plain', "it's", '$HOME `id` "x" \\', 'a\nb', '-n', '!x', 'é 💥', "\x1b[2J'\\ \u202e"])(
    'a shell reads %j as it is',
    (text) => expect(shell(`printf '%s\\0' ${quoted(text)}`)).toEqual([text]),
  );
});

const next = random(2);
const requests: readonly PromptRequest[] = [
  ...Array.from({ length: 300 }, () =>
    randomRequest(next, { providers: ['claude', 'echo'], folders: ['/srv', "/it's \\ $HOME", '/-x\ny'] }),
  ),
  { prompt: LONG, effort: 'high' },
  ...['-', '--help'].map((prompt) => ({ prompt })),
  { prompt: 'x', appendSystemPrompt: LONG.slice(0, 60_000) },
];

describe('a request that the page shows as a command', () => {
  it('is read by a shell and by the command line as it is, but for what is left out', () => {
    const commands = requests.map((request) => bullpenOf(request));
    // The words, then stdin if the command reads it.
    const stub = `bullpen() { printf '%s\\0' "$@"; if [ "$2" = - ]; then cat; printf '\\0'; fi; printf '<end>\\0'; }\n`;
    const words = shell(stub + commands.map(({ command }) => command).join('\n'));
    let at = 0;
    for (const [index, request] of requests.entries()) {
      const end = words.indexOf('<end>', at);
      const [run, ...own] = words.slice(at, end);
      at = end + 1;
      expect(run).toBe('run');
      const stdin = own[0] === '-' ? own.pop() : undefined;
      const args = parseArguments(own, runCommand.options ?? {});
      const asks = args.flag('ask') ? { onPermissionDenied: 'ask' } : {};
      const prompt = stdin ?? args.positionals[0];
      expect(args.positionals).toHaveLength(1);
      const left = commands[index]?.left ?? [];
      const { autoContinue, ...said } = request;
      const expected = Object.entries({ ...said, ...(autoContinue === false && { autoContinue }) });
      expect({ ...requestFields(args, '/nowhere', new Date()), ...asks, prompt }).toEqual(
        Object.fromEntries(expected.filter(([name]) => !left.includes(name))),
      );
    }
    // Empty lists, words that are too long, keys with `=`, and what has no option.
    const may = ['allowedTools', 'disallowedTools', 'tags', 'appendSystemPrompt', 'metadata', 'retry'];
    const left = new Set(commands.flatMap((one) => one.left));
    expect([...left].filter((name) => !may.includes(name)).sort()).toEqual([
      ...['limits', 'outputSchema', 'providerOptions'],
    ]);
  });

  it('is sent by curl as it is', () => {
    const stub = `curl() { for word; do :; done; if [ "$word" = @- ]; then cat; else printf %s "$word"; fi; printf '\\0'; }\n`;
    const bodies = shell(stub + requests.map((request) => curl(['url'], request)).join('\n'));
    expect(bodies.map((body) => JSON.parse(body) as unknown)).toEqual(requests);
  });
});
