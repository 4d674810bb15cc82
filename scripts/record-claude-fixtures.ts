/**
 * Records what the real claude CLI prints into tests/fixtures/providers/claude/<case>/, with
 * everything scrubbed that differs between two machines or two runs. Needs no account: the model is
 * the offline model. Run it after an update of the CLI and read the diff: it is what changed in the
 * contract.
 *
 *     node scripts/record-claude-fixtures.ts [case …]
 */
import { CLAUDE_CASES, type ClaudeCaseName, runClaudeCase } from './offline-model/claude-cases.ts';
import { CLAUDE_TALKS, type ClaudeTalkName, runClaudeTalk } from './offline-model/claude-talks.ts';
import { recordFixture } from './offline-model/record-fixture.ts';

const isCase = (name: string): name is ClaudeCaseName => Object.hasOwn(CLAUDE_CASES, name);
const isTalk = (name: string): name is ClaudeTalkName => Object.hasOwn(CLAUDE_TALKS, name);

function run(name: string): ReturnType<typeof runClaudeCase> {
  if (isCase(name)) return runClaudeCase(name);
  if (isTalk(name)) return runClaudeTalk(name);
  throw new Error(`No such case: ${name}`);
}

const asked = process.argv.slice(2);
for (const name of asked.length > 0 ? asked : [...Object.keys(CLAUDE_CASES), ...Object.keys(CLAUDE_TALKS)]) {
  await recordFixture('claude', name, await run(name));
}
