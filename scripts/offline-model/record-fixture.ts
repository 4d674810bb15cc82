import { mkdir, writeFile } from 'node:fs/promises';
import type { CliHome, CliRun } from './run-cli.ts';
import { createScrubber } from './scrub.ts';

const STDERR_TAIL_CHARS = 2000;

/**
 * Writes a run of a CLI into tests/fixtures/providers/<provider>/<name>/, without what differs
 * between two machines or runs.
 */
export async function recordFixture(
  provider: string,
  name: string,
  { run, home, baseUrl }: { readonly run: CliRun; readonly home: CliHome; readonly baseUrl: string },
): Promise<void> {
  const scrub = createScrubber({ home: home.home, workspace: home.workspace, baseUrl });
  const stdout = run.lines.map((line) => `${scrub.line(line)}\n`).join('');
  const stderrTail = scrub.text(run.stderr.slice(-STDERR_TAIL_CHARS));
  const exit = `${JSON.stringify({ code: run.code, signal: run.signal, stderrTail }, null, 2)}\n`;
  scrub.assertClean(stdout + exit);
  const folder = new URL(`../../tests/fixtures/providers/${provider}/${name}/`, import.meta.url);
  await mkdir(folder, { recursive: true });
  await writeFile(new URL('stdout.jsonl', folder), stdout);
  await writeFile(new URL('exit.json', folder), exit);
  console.log(`${provider} ${name}: ${run.lines.length} lines, code ${run.code}, signal ${run.signal}`);
}
