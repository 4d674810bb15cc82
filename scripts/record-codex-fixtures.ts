/**
 * Records what the real codex CLI prints into tests/fixtures/providers/codex/<case>/ and, with
 * app-server, into codex-app-server/<case>/, scrubbed. Needs no account. Run it after an update of
 * the CLI and read the diff: it is what changed in the contract.
 *
 *     node scripts/record-codex-fixtures.ts [case …]
 *     node scripts/record-codex-fixtures.ts app-server [case …]
 */
import { CODEX_APP_CASES, type CodexAppCaseName, runCodexAppCase } from './offline-model/codex-app-cases.ts';
import { CODEX_CASES, type CodexCaseName, runCodexCase } from './offline-model/codex-cases.ts';
import { recordFixture } from './offline-model/record-fixture.ts';

const isCase = (name: string): name is CodexCaseName => Object.hasOwn(CODEX_CASES, name);
const isAppCase = (name: string): name is CodexAppCaseName => Object.hasOwn(CODEX_APP_CASES, name);

const asked = process.argv.slice(2);
if (asked[0] === 'app-server') {
  const names = asked.slice(1);
  for (const name of names.length > 0 ? names : Object.keys(CODEX_APP_CASES)) {
    if (!isAppCase(name)) throw new Error(`No such case: ${name}`);
    await recordFixture('codex-app-server', name, await runCodexAppCase(name));
  }
} else {
  for (const name of asked.length > 0 ? asked : Object.keys(CODEX_CASES)) {
    if (!isCase(name)) throw new Error(`No such case: ${name}`);
    await recordFixture('codex', name, await runCodexCase(name));
  }
}
