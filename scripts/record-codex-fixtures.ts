/**
 * Records what the real codex CLI prints into tests/fixtures/providers/codex/<case>/, scrubbed.
 * Needs no account. Run it after an update of the CLI and read the diff: it is what changed in the
 * contract.
 *
 *     node scripts/record-codex-fixtures.ts [case …]
 */
import { CODEX_CASES, type CodexCaseName, runCodexCase } from './offline-model/codex-cases.ts';
import { recordFixture } from './offline-model/record-fixture.ts';

const isCase = (name: string): name is CodexCaseName => Object.hasOwn(CODEX_CASES, name);

const asked = process.argv.slice(2);
for (const name of asked.length > 0 ? asked : Object.keys(CODEX_CASES)) {
  if (!isCase(name)) throw new Error(`No such case: ${name}`);
  await recordFixture('codex', name, await runCodexCase(name));
}
