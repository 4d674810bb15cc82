/** What the form of a new key asks for. */
import type { KeyRequest } from '../../../protocol/key.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const AMOUNTS = ['requestsPerMinute', 'jobsPerHour', 'maxQueued', 'maxRunning', 'usdPerDay'] as const;

/** Empty fields are left out: they limit nothing. */
export function keyRequestOf(form: FormData, now: number): KeyRequest {
  const text = (name: string): string => String(form.get(name) ?? '').trim();
  const checked = (name: string): readonly string[] => form.getAll(name).map(String);
  const lines = (name: string): readonly string[] =>
    text(name)
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  const scopes = checked('scopes');
  if (scopes.length === 0) throw new Error('Check what the key may do.');
  const lists = {
    providers: checked('providers'),
    permissionModes: checked('permissionModes'),
    roots: lines('roots'),
    tools: lines('tools'),
  };
  const days = Number(text('expires'));
  // as: the server refuses values that it does not know
  return {
    name: text('name'),
    scopes,
    ...(text('project') !== '' && { project: text('project') }),
    ...(days > 0 && { expiresAt: new Date(now + days * DAY_MS).toISOString() }),
    ...Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0)),
    ...Object.fromEntries(
      AMOUNTS.filter((name) => text(name) !== '').map((name) => [name, Number(text(name))]),
    ),
  } as KeyRequest;
}
