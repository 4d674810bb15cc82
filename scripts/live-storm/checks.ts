/** What every client of a run must have seen, compared with what SSE and the recordings have. */
import type { SessionStoredEvent } from '../../src/protocol/event.ts';
import type { StormClient } from './client.ts';

export interface Truth {
  /** All events of each chat, as the HTTP stream has them from the beginning. */
  readonly chats: Map<string, readonly SessionStoredEvent[]>;
  /** The asciicast file of each terminal. */
  readonly recordings: Map<string, string>;
  /** The prompts of all turns. */
  readonly turns: string[];
  /** Texts that clients have typed, and first lines of their prompts; each of them once. */
  readonly inputs: readonly string[];
  readonly prompts: readonly string[];
}

type Seen = Pick<StormClient, 'name' | 'seen' | 'faults'>;

/** Each fault as a sentence. None: each client has each event once, and each command acted once. */
export function findFaults(clients: readonly Seen[], truth: Truth): string[] {
  return [
    ...clients.flatMap(({ faults }) => faults),
    ...clients.flatMap((client) => ofChats(client, truth)),
    ...clients.flatMap((client) => ofTerminals(client, truth)),
    ...ofNumbers(clients),
    ...once('input', truth.inputs, [...truth.recordings.values()].map(outputOf).join('')),
    ...once('prompt', truth.prompts, truth.turns.join('\n')),
  ];
}

function ofChats({ name, seen }: Seen, { chats }: Truth): string[] {
  return [...chats].flatMap(([id, events]) => {
    const mine = seen.get(id);
    if (mine === undefined) return [];
    if (mine.length !== events.length)
      return [`${name} has ${mine.length} of ${events.length} events of ${id}`];
    const wrong = events.find((event, at) => JSON.stringify(event) !== JSON.stringify(mine[at]));
    return wrong === undefined ? [] : [`${name} has another event ${wrong.seq} of ${id}`];
  });
}

/** The bytes that a client was given are those of the recording at the same place. */
function ofTerminals({ name, seen }: Seen, { recordings }: Truth): string[] {
  return [...recordings].flatMap(([id, recording]) => {
    const events = seen.get(id);
    if (events === undefined) return [];
    const recorded = Buffer.from(outputOf(recording));
    let offset: number | null = null;
    for (const event of events) {
      if (event.kind === 'terminal.screen') offset = event.offset;
      if (event.kind !== 'terminal.output') continue;
      const bytes = Buffer.from(event.data, 'base64');
      if (event.offset !== offset)
        return [`${name}: ${event.seq} of ${id} is at ${event.offset}, not ${offset}`];
      if (!recorded.subarray(offset, offset + bytes.length).equals(bytes))
        return [`${name}: ${event.seq} of ${id} is not what was recorded`];
      offset += bytes.length;
    }
    return offset === recorded.length ? [] : [`${name} has ${offset} of ${recorded.length} bytes of ${id}`];
  });
}

/** The same number is the same event for every client. Screens differ by where a client joined. */
function ofNumbers(clients: readonly Seen[]): string[] {
  const known = new Map<string, string>();
  return clients.flatMap(({ name, seen }) =>
    [...seen].flatMap(([id, events]) =>
      events.flatMap((event) => {
        if (event.kind === 'terminal.screen') return [];
        const [key, text] = [`${event.seq} of ${id}`, JSON.stringify(event)];
        const other = known.get(key);
        known.set(key, text);
        return other === undefined || other === text ? [] : [`${name} has another event ${key}`];
      }),
    ),
  );
}

function once(what: string, sent: readonly string[], where: string): string[] {
  return sent.flatMap((text) => {
    const times = where.split(text).length - 1;
    return times === 1 ? [] : [`the ${what} ${text} acted ${times} times`];
  });
}

/** What the program of a terminal has written, of an asciicast v2 file. */
export function outputOf(recording: string): string {
  return recording
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line): [number, string, string] => JSON.parse(line))
    .flatMap(([, type, text]) => (type === 'o' ? [text] : []))
    .join('');
}
