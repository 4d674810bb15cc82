import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { journalOf } from '../../helpers/fake-cli.ts';
import { bench } from './harness.ts';

/** Replaces `work` by a link to `outside` and back, without end. */
const SWAPPER = `
const { renameSync, symlinkSync, unlinkSync } = require('node:fs');
const [work, outside] = process.argv.slice(1);
for (;;) {
  renameSync(work, work + '.away');
  symlinkSync(outside, work);
  unlinkSync(work);
  renameSync(work + '.away', work);
}`;

const MEGABYTE = 1024 * 1024;

describe('spawning a process', () => {
  it('gives it exactly the requested arguments, directory, environment and marker', async () => {
    const { fake, dir, journal, marker } = bench();
    const { process: cli } = await fake('hello', { args: ['-p', 'two words', '$HOME'], env: { LANG: 'C' } });
    expect(await cli.ended).toEqual({ code: 0, signal: null, leakedPipe: false });

    const [start] = journalOf(journal, 'start');
    expect(start).toMatchObject({ pid: cli.pid, argv: ['-p', 'two words', '$HOME'], cwd: dir, marker });
    // PWD comes from the shell: the fake CLI starts through a script.
    const names = ['BULLPEN_EXECUTION_ID', 'FAKE_JOURNAL', 'LANG', 'PATH', 'PWD'];
    expect(start?.envNames).toEqual(names);
  });

  it('makes it the leader of its own group', async () => {
    const { sh } = bench();
    const { process: shell, lines } = await sh('cut -d" " -f5 /proc/$$/stat');
    await shell.ended;
    expect(lines).toEqual([{ line: String(shell.pid), cut: null }]);
  });

  it('writes the whole prompt to stdin and ends it', async () => {
    const { sh } = bench();
    const { process: shell, lines } = await sh('wc -c', { stdin: 'é'.repeat(MEGABYTE) });
    await shell.ended;
    expect(lines[0]?.line.trim()).toBe(String(2 * MEGABYTE));
  });

  it('closes stdin when there is nothing to write', async () => {
    const { sh } = bench();
    const { process: shell } = await sh('cat');
    expect(await shell.ended).toMatchObject({ code: 0 });
  });

  it('starts nothing outside the checked folder, even if a link replaces it all the time', async () => {
    const { sh, dir } = bench();
    const [work, outside] = [`${dir}/work`, `${dir}/outside`];
    for (const folder of [work, outside]) mkdirSync(folder);
    const swapper = spawn(process.execPath, ['-e', SWAPPER, work, outside], { stdio: 'ignore' });
    const seen = new Map<string, number>();
    const count = (what: string): Map<string, number> => seen.set(what, (seen.get(what) ?? 0) + 1);
    try {
      for (let i = 0; i < 100; i += 1) {
        try {
          const { process: cli, lines } = await sh('', { binary: '/bin/pwd', args: [], cwd: work });
          await cli.ended;
          count(lines[0]?.line.replace(/\.away$/, '') ?? 'nothing');
        } catch (error) {
          expect(error).toMatchObject({ code: 'cwd.not_allowed' });
          count('refused');
        }
      }
    } finally {
      swapper.kill('SIGKILL');
    }
    expect([...seen.keys()].toSorted()).toEqual([work, 'refused']); // nothing else has happened
  });

  it('survives a CLI that closes stdin while a large prompt is written (C8)', async () => {
    const { fake } = bench();
    const { process: cli, lines } = await fake('x'.repeat(MEGABYTE), { env: { FAKE_CLOSE_STDIN: '1' } });
    expect(await cli.ended).toEqual({ code: 0, signal: null, leakedPipe: false });
    expect(lines.at(-1)?.line).toContain('"type":"result"');
  });

  it('does not wait for a CLI that never reads its prompt (C9)', async () => {
    const { fake, journal } = bench();
    const { process: cli } = await fake('x'.repeat(MEGABYTE), { env: { FAKE_IGNORE_STDIN: '1' } });
    expect(await cli.ended).toMatchObject({ code: 0, leakedPipe: false });
    expect(journalOf(journal, 'prompt')).toMatchObject([{ bytes: 0 }]);
  });

  it.each([
    { step: { exit: 255 }, end: { code: 255, signal: null } },
    { step: { exit: 137 }, end: { code: 137, signal: null } },
    { step: { kill: 'SIGSEGV' }, end: { code: null, signal: 'SIGSEGV' } },
    { step: { kill: 'SIGKILL' }, end: { code: null, signal: 'SIGKILL' } },
  ])('keeps the exit code and the signal apart: $step (C20)', async ({ step, end }) => {
    const { fake } = bench();
    const { process: cli } = await fake('', { env: { FAKE_STEPS: JSON.stringify([step]) } });
    expect(await cli.exited).toEqual(end);
    expect(await cli.ended).toMatchObject(end);
  });

  it('is not signalled after the exit', async () => {
    const { sh } = bench();
    const { process: shell } = await sh('exec sleep 1000');
    expect(shell.exitedAtUptimeS).toBeNull();
    expect(shell.signalGroup('SIGTERM')).toBe(true);
    await shell.ended;
    expect(shell.exitedAtUptimeS).toBeGreaterThan(0);
    expect(shell.signalGroup('SIGTERM')).toBe(false);
  });

  describe('that cannot be started', () => {
    it('reports what is wrong with the binary (C18)', async () => {
      const { sh, dir } = bench();
      writeFileSync(`${dir}/plain`, 'text');
      const missing = { code: 'execution.cli_missing' };
      for (const binary of [`${dir}/nothing`, dir, `${dir}/plain`, `${dir}/plain/below`, 'sh']) {
        await expect(sh('', { binary }), binary).rejects.toMatchObject(missing);
      }
    });

    it('reports a missing working directory as such (C18)', async () => {
      const { sh, dir } = bench();
      writeFileSync(`${dir}/file`, '');
      for (const cwd of [`${dir}/nothing`, `${dir}/file`]) {
        await expect(sh('', { cwd })).rejects.toMatchObject({ code: 'cwd.not_allowed' });
      }
    });

    it('is not started in a folder that was replaced', async () => {
      const { sh, dir } = bench();
      mkdirSync(`${dir}/work/below`, { recursive: true });
      renameSync(`${dir}/work`, `${dir}/moved`);
      symlinkSync(`${dir}/moved`, `${dir}/work`);
      for (const cwd of [`${dir}/work`, `${dir}/work/below`]) {
        const replaced = { code: 'cwd.not_allowed', message: expect.stringContaining('replaced') };
        await expect(sh('', { cwd })).rejects.toMatchObject(replaced);
      }
    });

    it('reports the missing interpreter of a script', async () => {
      const { sh, dir } = bench();
      writeFileSync(`${dir}/script`, '#!/nonexistent/node\n', { mode: 0o755 });
      const failure = { code: 'execution.cli_missing', message: expect.stringContaining('interpreter') };
      await expect(sh('', { binary: `${dir}/script` })).rejects.toMatchObject(failure);
    });

    it('ends with an error when its format is not known to the kernel (C18)', async () => {
      const { sh, dir } = bench();
      // execvp(3) gives such a file to /bin/sh, so this is an exit code and not a failed spawn.
      writeFileSync(`${dir}/other`, Buffer.from('7f454c4602010100000000', 'hex'));
      chmodSync(`${dir}/other`, 0o755);
      const { process: shell } = await sh('', { binary: `${dir}/other`, args: [] });
      expect((await shell.ended).code).not.toBe(0);
    });

    it('is an error for too large arguments (C23)', async () => {
      const { sh } = bench();
      const tooLarge = sh('', { args: ['x'.repeat(200_000)] });
      await expect(tooLarge).rejects.toMatchObject({ code: 'execution.resource_limit' });
    });

    it('refuses a NUL byte in an argument or a variable (C23)', async () => {
      const { sh } = bench();
      const invalid = { code: 'execution.invalid_request' };
      await expect(sh('', { args: ['a\0b'] })).rejects.toMatchObject(invalid);
      await expect(sh('', { env: { A: 'a\0b' } })).rejects.toMatchObject(invalid);
    });
  });
});
