/** Writes `.env.example` and docs/settings.md anew; tests/unit/generated-docs.test.ts says when that is due. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { renderEnvExample, renderSettingsPage } from './settings-docs.ts';

const write = (path: string, text: string): void =>
  writeFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), text);

write('.env.example', renderEnvExample());
write('docs/settings.md', renderSettingsPage());
