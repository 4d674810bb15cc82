import { createHmac, randomBytes } from 'node:crypto';
import type { LoginUse } from './circuits.ts';

/** Names the login a CLI uses, without telling it: the names are made with a key that is never stored. */
export function createCredentialOf(): (use: LoginUse) => string {
  const key = randomBytes(32);
  return ({ provider: { name, login }, env }) => {
    const values = login.variables.map((variable) => env[variable] ?? null);
    return `${name} ${createHmac('sha256', key).update(JSON.stringify(values)).digest('hex')}`;
  };
}
