import { hostname, tmpdir, userInfo } from 'node:os';

/**
 * Takes out of a recorded output what differs between two machines or two runs. One per run: it
 * numbers the ids it meets.
 */
export interface Scrubber {
  /** Scrubs one line of stdout; a line that is no JSON is scrubbed as text. */
  line(line: string): string;
  text(text: string): string;
  /** @throws when something of this machine is left in the text. */
  assertClean(text: string): void;
}

const UUID = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g;
const ISO_TIME = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g;
/** Ids made of the time, and names of files made of it. */
const EPOCH_MS = /_\d{13}(?=_\d)/g;
const TIME_IN_NAME = /\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(-\d{3}Z)?/g;
const DAY_IN_PATH = /\/\d{4}\/\d\d\/\d\d\//g;
/** Ids of background tasks, which are new in each run. */
const TASK_ID = /"(?:task_id|run_id|runId)":"([^"]+)"/g;
/**
 * Where in a CLI's own code an error came from, and what gemini says of its own start only when it
 * is slow.
 */
const OWN_TRACES = /^(?: {4}at |\[STARTUP\] ).*\n?/gm;
const FIXED_MS = 100;
/** Names of times and of durations. */
const TIME_NAME = /(_ms|Ms)$|^(end_time|pid|(started|completed|created|updated|recency)At)$/;
/** The end of a usage limit, as a number of seconds and in a sentence. */
const FIXED_RESET = 1_800_000_000;
const RESET_TIME = /\d{1,2}:\d\d ?[ap]m/gi;

/**
 * Long lists of the init line that say nothing about the contract; of each, so many entries stay.
 */
const KEPT_ENTRIES: Readonly<Record<string, number>> = {
  commands: 1,
  models: 1,
  slash_commands: 2,
  terminal_slash_commands: 0,
  agents: 1,
  skills: 1,
  plugins: 0,
  capabilities: 1,
};
const KEPT_TOOLS = new Set(['Bash', 'Edit', 'Read', 'Write', 'StructuredOutput']);

/** Makes the scrubber for a run that had this home, this workspace within it and this base URL. */
export function createScrubber(place: { home: string; workspace: string; baseUrl: string }): Scrubber {
  const ids = new Map<string, string>();
  const taskIds = new Map<string, string>();
  const slug = (path: string): string => path.replaceAll(/[^A-Za-z0-9]/g, '-');
  const replacements: readonly (readonly [string, string])[] = [
    [place.workspace, '/workspace'],
    [place.home, '/home/user'],
    [slug(place.workspace), '-workspace'],
    [new URL(place.baseUrl).host, '127.0.0.1:8080'],
    [tmpdir(), '/scratch'],
    [process.cwd(), '/bullpen'],
  ];

  const text = (raw: string): string =>
    [...replacements, ...taskIds]
      .reduce((current, [from, to]) => current.replaceAll(from, to), raw)
      .replaceAll(UUID, (id) => {
        const known = ids.get(id) ?? `00000000-0000-4000-8000-${String(ids.size + 1).padStart(12, '0')}`;
        ids.set(id, known);
        return known;
      })
      .replaceAll(RESET_TIME, '8:00am')
      .replaceAll(ISO_TIME, '2026-01-01T00:00:00.000Z')
      .replaceAll(EPOCH_MS, '_1767225600000')
      .replaceAll(TIME_IN_NAME, (_, end) => `2026-01-01T00-00-00${end === undefined ? '' : '-000Z'}`)
      .replaceAll(DAY_IN_PATH, '/2026/01/01/')
      .replaceAll(OWN_TRACES, '');

  const value = (current: unknown, name: string): unknown => {
    if (name === 'processId' && typeof current === 'string') return String(FIXED_MS);
    if (typeof current === 'string') return text(current);
    if (typeof current === 'number' && TIME_NAME.test(name)) return FIXED_MS;
    if (name === 'resetsAt') return FIXED_RESET;
    if (Array.isArray(current)) return trimmed(current, name).map((entry) => value(entry, ''));
    if (typeof current !== 'object' || current === null) return current;
    const entries = Object.entries(current).filter(([key]) => key !== 'messaging_socket_path');
    return Object.fromEntries(entries.map(([key, entry]) => [key, value(entry, key)]));
  };

  return {
    text,
    line(raw) {
      if (!raw.startsWith('{')) return text(raw);
      for (const [, id = ''] of raw.matchAll(TASK_ID)) {
        taskIds.set(id, taskIds.get(id) ?? `task-${taskIds.size + 1}`);
      }
      return JSON.stringify(value(JSON.parse(raw), ''));
    },
    assertClean(done) {
      const traces = [place.home, tmpdir(), hostname(), new URL(place.baseUrl).port, process.cwd()];
      const { username } = userInfo();
      if (username !== 'user') traces.push(`/${username}/`);
      const left = traces.find((trace) => done.includes(trace));
      if (left !== undefined) throw new Error(`Not scrubbed: ${left}`);
    },
  };
}

function trimmed(list: readonly unknown[], name: string): readonly unknown[] {
  if (name === 'tools') return list.filter((tool) => typeof tool !== 'string' || KEPT_TOOLS.has(tool));
  const kept = KEPT_ENTRIES[name];
  return kept === undefined ? list : list.slice(0, kept);
}
