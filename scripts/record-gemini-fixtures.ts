/**
 * Records what the real gemini CLI prints into tests/fixtures/providers/gemini/<case>/, with
 * everything scrubbed that differs between two machines or two runs. Needs no account: the model is
 * the offline model. Run it after an update of the CLI and read the diff: it is what changed in the
 * contract.
 *
 *     node scripts/record-gemini-fixtures.ts [case …]
 */
import { GEMINI_CASES, type GeminiCaseName, runGeminiCase } from './offline-model/gemini-cases.ts';
import { recordFixture } from './offline-model/record-fixture.ts';

const isCase = (name: string): name is GeminiCaseName => Object.hasOwn(GEMINI_CASES, name);

const asked = process.argv.slice(2);
for (const name of asked.length > 0 ? asked : Object.keys(GEMINI_CASES)) {
  if (!isCase(name)) throw new Error(`No such case: ${name}`);
  const ran = await runGeminiCase(name);
  // The list of all flags is longer than what is kept of stderr, and the important part comes
  // before it.
  const stderr = ran.run.stderr.replace(/^Commands:\n[\s\S]*/m, '');
  await recordFixture('gemini', name, { ...ran, run: { ...ran.run, stderr } });
}
