/** How a server is told to keep processes ready, or not to. */
import { SETTINGS } from '../../src/config/schema.ts';

/** The three ways Bullpen itself can run a prompt. */
export type BullpenWay = 'cold' | 'warm' | 'session';

/** Longer than any benchmark pauses. */
const KEPT_MS = '600000';

/** What is not named has its default. */
const WANTED: Readonly<Record<BullpenWay, Readonly<Record<string, string>>>> = {
  cold: { BULLPEN_WARM_PROCESSES: '0', BULLPEN_SESSION_IDLE_MS: '0' },
  warm: { BULLPEN_SESSION_IDLE_MS: '0' },
  session: { BULLPEN_SESSION_IDLE_MS: KEPT_MS },
};

const known: ReadonlySet<string> = new Set(
  // A keyword TypeBox keeps and does not type.
  Object.values(SETTINGS).map((setting) => (setting as { env?: string }).env ?? ''),
);

/** The variables of a server that runs prompts this way; a server refuses those it does not know. */
export const warmSettings = (way: BullpenWay): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(WANTED[way]).filter(([name]) => known.has(name)));

/** What these columns are worth with the server as it is. */
export const warmNotes = (): string[] =>
  ['BULLPEN_WARM_PROCESSES', 'BULLPEN_SESSION_IDLE_MS']
    .filter((name) => !known.has(name))
    .map((name) => `This server has no ${name}: what it would change was measured as if it were off.`);
