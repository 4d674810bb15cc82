/**
 * Records what the real claude CLI prints into tests/fixtures/providers/claude/<case>/, with everything scrubbed that differs
 * between two machines or two runs. Needs no account: the model is the offline model. Run it after an update of the CLI and
 * read the diff: it is what changed in the contract.
 *
 *     node scripts/record-claude-fixtures.ts [case …]
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { CLAUDE_CASES, type ClaudeCaseName, runClaudeCase } from './offline-model/claude-cases.ts';
import { createScrubber } from './offline-model/scrub.ts';

const FOLDER = new URL('../tests/fixtures/providers/claude/', import.meta.url);
const STDERR_TAIL_CHARS = 2000;

const isCase = (name: string): name is ClaudeCaseName => Object.hasOwn(CLAUDE_CASES, name);

async function record(name: ClaudeCaseName): Promise<void> {
  const { run, home, baseUrl } = await runClaudeCase(name);
  const scrub = createScrubber({ home: home.home, workspace: home.workspace, baseUrl });
  const stdout = run.lines.map((line) => `${scrub.line(line)}\n`).join('');
  const stderrTail = scrub.text(run.stderr.slice(-STDERR_TAIL_CHARS));
  const exit = `${JSON.stringify({ code: run.code, signal: run.signal, stderrTail }, null, 2)}\n`;
  scrub.assertClean(stdout + exit);
  const folder = new URL(`${name}/`, FOLDER);
  await mkdir(folder, { recursive: true });
  await writeFile(new URL('stdout.jsonl', folder), stdout);
  await writeFile(new URL('exit.json', folder), exit);
  console.log(`${name}: ${run.lines.length} lines, code ${run.code}, signal ${run.signal}`);
}

const asked = process.argv.slice(2);
for (const name of asked.length > 0 ? asked : Object.keys(CLAUDE_CASES)) {
  if (!isCase(name)) throw new Error(`No such case: ${name}`);
  await record(name);
}
console.log(`Recorded into ${fileURLToPath(FOLDER)}`);
