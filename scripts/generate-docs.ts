/**
 * Writes what is made from the code's own tables; tests/unit/generated-docs.test.ts says when that
 * is due.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { withErrorCodes } from './error-docs.ts';
import { withTransitions } from './session-docs.ts';
import { renderEnvExample, renderSettingsPage } from './settings-docs.ts';

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

writeFileSync(at('.env.example'), renderEnvExample());
writeFileSync(at('docs/settings.md'), renderSettingsPage());
writeFileSync(at('docs/api.md'), withErrorCodes(readFileSync(at('docs/api.md'), 'utf8')));
writeFileSync(at('docs/sessions.md'), withTransitions(readFileSync(at('docs/sessions.md'), 'utf8')));
