import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command, CommandContext } from '../command.ts';
import { CommandError, EXIT, usageError } from '../failures.ts';
import { forPeople, LEVELS } from '../log-lines.ts';

const DEFAULT_LINES = 100;
const LOOK_EVERY_MS = 250;
const CHUNK_BYTES = 64 * 1024;

export const logsCommand: Command = {
  name: 'logs',
  usage: '[--follow] [--job ID] [--level LEVEL]',
  summary: 'show the log of the server in the background',
  details: `The log is server.log in the data folder of the server that \`bullpen up\` has started. On a
terminal its lines are made for people; elsewhere they are JSON, as the server wrote them.`,
  options: {
    follow: { type: 'boolean', short: 'f', help: 'go on with each new line, until Ctrl-C' },
    job: { type: 'string', value: 'ID', help: 'lines about this job only' },
    level: { type: 'string', value: 'LEVEL', help: 'this level or higher: debug, info, warn, error' },
    limit: { type: 'string', short: 'n', value: 'N', help: `the last N of them (default: ${DEFAULT_LINES})` },
  },
  examples: [
    'bullpen logs --follow',
    'bullpen logs --level warn',
    'bullpen logs --job 01K9ZV4Q4PPJ6S5V6H9Y1C3D2E',
  ],
  async run(context, args) {
    if (args.positionals.length > 0) throw usageError('logs takes options only');
    const limit = args.integer('limit') ?? DEFAULT_LINES;
    if (limit < 0) throw usageError('--limit takes 0 or more');
    const shows = filterOf(args.text('job'), levelOf(args.text('level')));
    const home = await context.finder.home();
    if (home === null) throw usageError('logs is for the server of this data folder; unset BULLPEN_URL');
    const log = createLogReader(join(home, 'server.log'));
    try {
      const lines = await log.read();
      if (lines === null && !args.flag('follow'))
        throw new CommandError(EXIT.failed, `there is no log in ${home}: only \`bullpen up\` writes one`);
      const matching = (lines ?? []).filter(shows);
      print(context, limit === 0 ? [] : matching.slice(-limit));
      if (!args.flag('follow')) return EXIT.succeeded;
      const stop = new AbortController();
      using _listening = context.interrupts.listen(() => stop.abort());
      while (!stop.signal.aborted) {
        print(context, ((await log.read()) ?? []).filter(shows));
        await context.sleep(LOOK_EVERY_MS, stop.signal).catch(() => undefined); // aborted: the loop ends
      }
      return EXIT.cancelled;
    } finally {
      await log.close();
    }
  },
};

function print({ output }: CommandContext, lines: readonly string[]): void {
  for (const line of lines) output.text(output.width === null ? `${line}\n` : shown(line));
}

/** A line that is no JSON is what a start has printed. */
function shown(line: string): string {
  return fieldsOf(line) === null ? `${line}\n` : forPeople(line, (_style, text) => text);
}

function levelOf(text: string | undefined): number {
  const level = new Map<string, number>(Object.entries(LEVELS)).get(text ?? 'trace');
  if (level !== undefined) return level;
  throw usageError(`--level takes ${Object.keys(LEVELS).join(', ')}, not ${JSON.stringify(text)}`);
}

/** What is no line of the log passes, unless a job or a level is asked for. */
function filterOf(job: string | undefined, level: number): (line: string) => boolean {
  return (line) => {
    const fields = fieldsOf(line);
    if (fields === null) return job === undefined && level <= 10;
    const ids = [fields['jobId'], fields['jobIds']].flat();
    return (job === undefined || ids.includes(job)) && Number(fields['level']) >= level;
  };
}

function fieldsOf(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const fields: unknown = JSON.parse(line);
    // as: any object has fields of any kind
    return typeof fields === 'object' && fields !== null ? (fields as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Reads the whole lines that a file has got since the last read. */
function createLogReader(path: string) {
  let file: FileHandle | null = null;
  let at = 0;
  let rest = Buffer.alloc(0);

  async function readOn(from: FileHandle): Promise<string[]> {
    const lines: string[] = [];
    for (;;) {
      const { bytesRead, buffer } = await from.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, at);
      if (bytesRead === 0) return lines;
      at += bytesRead;
      const text = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      const end = text.lastIndexOf(0x0a) + 1;
      rest = text.subarray(end);
      if (end > 0)
        lines.push(
          ...text
            .subarray(0, end - 1)
            .toString()
            .split('\n'),
        );
    }
  }

  async function close(): Promise<void> {
    await file?.close();
    file = null;
    at = 0;
    rest = Buffer.alloc(0);
  }

  return {
    /** null: there is no file. A new file in its place is read from its start. */
    async read(): Promise<readonly string[] | null> {
      const lines = file === null ? [] : await readOn(file);
      const current = await stat(path).catch(() => null);
      const known = await file?.stat();
      if (known !== undefined && (current === null || current.ino === known.ino)) return lines;
      if (current === null) return null;
      await close();
      file = await open(path);
      return [...lines, ...(await readOn(file))];
    },
    close,
  };
}
