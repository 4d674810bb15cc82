/**
 * What the earlier executions of a job leave to the next one: the CLI's session, whether that has
 * the prompt, and what they used of the job's limits.
 */
import { systemCode } from '../processes/launch.ts';
import { isShortage } from '../processes/spawn.ts';
import type { EventBody, StoredEvent } from '../protocol/event.ts';
import { sumOfUsage, type Usage } from '../protocol/outcome.ts';
import { parseJson } from '../providers/json.ts';
import type { Provider } from '../providers/provider.ts';
import { stateFolderOf } from './cli-probe.ts';
import { openTranscripts } from './transcripts.ts';

export interface EarlierExecutions {
  /** The CLI's own id of the session that they began or resumed; null: none. */
  readonly nativeSessionId: string | null;
  /** Whether the events prove that the session has the prompt. */
  readonly asked: boolean;
  /** When the first of them started its CLI, in ms since 1970. */
  readonly since: number;
  readonly usage: Usage | null;
  /** Time in which a CLI ran. */
  readonly ranMs: number;
  readonly turns: number;
}

/** Of the first execution of a job. */
export const NO_EXECUTIONS: EarlierExecutions = {
  ...{
    nativeSessionId: null,
    asked: false,
    since: Number.POSITIVE_INFINITY,
    usage: null,
    ranMs: 0,
    turns: 0,
  },
};

export type ReadEvents = (jobId: string, after: number, limit: number) => Promise<readonly StoredEvent[]>;

/** Events per read. */
const PAGE = 500;

/** All events of a job, in order. */
export async function* eventsOf(jobId: string, readEvents: ReadEvents): AsyncGenerator<StoredEvent> {
  for (let after: number | undefined = 0; after !== undefined; ) {
    const events: readonly StoredEvent[] = await readEvents(jobId, after, PAGE);
    yield* events;
    after = events.at(-1)?.seq;
  }
}

/**
 * What the events of one execution show of its use. A turn of the model begins with the first
 * output after the start, or after the end of all tools. So a subagent's turns do not count.
 */
export function createUseFold() {
  const openTools = new Set<string>();
  let turns = 0;
  let isOver = true;
  let usage: Usage | null = null;
  return {
    saw(event: EventBody): void {
      switch (event.kind) {
        case 'usage':
          usage = event.usage;
          break;
        case 'tool.ended':
          openTools.delete(event.toolId);
          isOver ||= openTools.size === 0;
          break;
        case 'text.delta':
        case 'text':
        case 'reasoning':
        case 'tool.started':
          if (isOver) turns += 1;
          isOver = false;
          if (event.kind === 'tool.started') openTools.add(event.toolId);
          break;
        default:
      }
    },
    soFar: () => ({ turns: turns === 0 ? null : turns, usage }),
  };
}

/**
 * Folds the events of the attempts before this one.
 * @param provider whose session it is; null: only the use of the limits is asked for
 */
export async function earlierExecutions(
  { jobId, attempt }: { readonly jobId: string; readonly attempt: number },
  readEvents: ReadEvents,
  provider: Pick<Provider, 'name' | 'provesAsked'> | null = null,
): Promise<EarlierExecutions> {
  let found = NO_EXECUTIONS;
  let started: { readonly provider: string; readonly at: number } | null = null;
  let use = createUseFold();
  let lastAt = 0;
  for await (const event of eventsOf(jobId, readEvents)) {
    if (event.attempt >= attempt) break;
    const at = Date.parse(event.at);
    const isOwn = provider !== null && started?.provider === provider.name;
    use.saw(event);
    switch (event.kind) {
      case 'execution.started':
        started = { provider: event.provider, at };
        found = { ...found, since: Math.min(found.since, at) };
        break;
      case 'session': {
        const { sessionId, nativeSessionId } = event;
        if (sessionId === null || !isOwn) break;
        const asked = found.asked && found.nativeSessionId === nativeSessionId;
        found = { ...found, nativeSessionId, asked };
        break;
      }
      case 'execution.finished': {
        const { durationMs, usage, turns } = event.outcome;
        const shown = use.soFar();
        // Of a lost one only its events are known. The server may have been away since the last.
        const ranMs = durationMs ?? (started === null ? 0 : lastAt - started.at);
        found = {
          ...found,
          usage: sumOfUsage(found.usage, usage ?? shown.usage),
          ranMs: found.ranMs + ranMs,
          turns: found.turns + (turns ?? shown.turns ?? 0),
        };
        break;
      }
      default:
    }
    if (isOwn && provider.provesAsked?.(event) === true) found = { ...found, asked: true };
    if (event.kind === 'execution.finished') {
      started = null;
      use = createUseFold();
    }
    lastAt = at;
  }
  return found;
}

/**
 * Whether the CLI has saved the prompt in a session, by the CLI's own transcript. Null: there is no
 * transcript that can be read, so the session cannot be continued.
 * @param since ms since 1970: an earlier message with the same text is another one
 */
export async function hasPrompt(
  { transcript, state }: Pick<Provider, 'transcript' | 'state'>,
  env: Readonly<Record<string, string>>,
  session: { readonly nativeSessionId: string; readonly prompt: string; readonly since: number },
): Promise<boolean | null> {
  const folder = state === undefined ? null : stateFolderOf(state, env);
  if (transcript === undefined || folder === null) return false;
  const prompt = session.prompt.trim();
  let found: boolean | null = null;
  for await (const file of openTranscripts(transcript.files(session.nativeSessionId), folder)) {
    let hasIt: boolean = found === true;
    try {
      for await (const line of file.readLines()) {
        const said = transcript.said(parseJson(line)); // nothing by a line that a kill has cut
        if (said === null) continue;
        const saysIt = said.messages.some(
          ({ text, timestamp }) => Date.parse(timestamp) >= session.since && text.includes(prompt),
        );
        hasIt = saysIt || (hasIt && said.replaces !== true);
      }
      found = hasIt;
    } catch (error) {
      // A file that cannot be read is no transcript.
      if (systemCode(error) === '' || isShortage(error)) throw error;
    }
  }
  return found;
}
