import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../src/cli/commands.ts';
import { tempDir } from '../../helpers/temp.ts';
import { JOB_ID } from '../client/job.ts';
import { type as typed } from './harness.ts';

describe('help', () => {
  it.each([[[]], [['--help']], [['-h']], [['help']]])('lists every command for %j', async (args) => {
    const { code, out } = await typed(args);
    expect(code).toBe(0);
    for (const { name, summary } of COMMANDS) {
      expect(out).toContain(`  ${name} `);
      expect(out).toContain(summary);
    }
  });

  it.each(COMMANDS.map((command) => [command.name, command] as const))(
    'of %s has its options and examples',
    async (name, { options, examples }) => {
      const { code, out } = await typed([name, '--help']);
      expect(code).toBe(0);
      for (const option of Object.keys(options)) expect(out).toContain(`--${option}`);
      for (const example of examples) expect(out).toContain(example);
      expect((await typed(['help', name])).out).toBe(out);
      expect(out.split('\n').filter((line) => line.length > 80)).toEqual([]);
    },
  );

  it('is not the version, which is one line', async () => {
    expect(await typed(['--version'])).toEqual({ code: 0, out: '1.2.3\n', err: '' });
  });
});

describe('the settings file', () => {
  const seen: unknown[] = [];
  const serve = async (env: unknown): Promise<number> => {
    seen.push(env);
    return 0;
  };

  it.each([
    [['serve', '--config', 'a.yaml']],
    [['--config', 'a.yaml', 'serve']],
    [['--config=a.yaml', 'serve']],
  ])('is named by %j, before the environment', async (args) => {
    const cwd = tempDir();
    writeFileSync(join(cwd, 'a.yaml'), '');
    writeFileSync(join(cwd, 'bullpen.config.yaml'), '');
    const env = { BULLPEN_CONFIG: '/other.yaml', PORT: '1' };
    expect(await typed(args, { cwd, env, serve })).toEqual({ code: 0, out: '', err: '' });
    expect(seen.pop()).toEqual({ BULLPEN_CONFIG: join(cwd, 'a.yaml'), PORT: '1' });
  });

  it('that is named and not there is an error of every command', async () => {
    const cwd = tempDir();
    for (const given of [{ args: ['--config', 'no.yaml'] }, { env: { BULLPEN_CONFIG: 'no.yaml' } }]) {
      const { args = [], env = {} } = given;
      expect(await typed(['jobs', ...args], { cwd, env })).toEqual({
        code: 78,
        out: '',
        err: `bullpen: the settings file ${join(cwd, 'no.yaml')} cannot be read\n`,
      });
    }
    expect((await typed(['jobs', '--config='], { cwd })).code).toBe(64);
  });
});

describe('what was typed wrongly', () => {
  it.each([
    [['jbos'], 'there is no command jbos; did you mean jobs?'],
    [['run', '--modle', 'x', 'hi'], 'there is no option --modle; did you mean --model?'],
    [['run', 'two', 'prompts'], 'put it in quotes'],
    [['run'], 'which prompt?'],
    [['run', '  '], 'the prompt is empty'],
    [['run', 'x', '--timeout', 'soon'], '--timeout takes a time like 90s'],
    [['show'], 'which job?'],
    [['show', JOB_ID, JOB_ID], 'one job at a time'],
    [['show', JOB_ID, '--json', '--text'], 'not both'],
    [['watch', JOB_ID, '--after=-1'], '--after takes'],
    [['jobs', '--status', 'done'], '--status takes queued, scheduled'],
    [['jobs', JOB_ID], 'jobs takes options only'],
    [['usage', '--by', 'mood'], '--by takes day, provider'],
    [['usage', '--from', 'yesterday'], '--from takes a date'],
    [['serve', 'now'], 'serve takes no arguments'],
  ])('%j is said in words, with 64', async (args, message) => {
    const { code, out, err } = await typed(args);
    expect(err).toMatch(/^bullpen: /);
    expect(err).toContain(message);
    expect([code, out]).toEqual([64, '']);
  });
});
