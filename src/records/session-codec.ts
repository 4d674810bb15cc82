/** Converts sessions between their Redis hash and stream and their types. They may be damaged. */
import { Type } from '#typebox';
import type { Signer } from '../auth/signer.ts';
import { createChecker } from '../protocol/checker.ts';
import { DEFAULT_PROJECT } from '../protocol/project.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import { SESSION_STATUSES, type SessionStatus } from '../protocol/session.ts';
import {
  damaged,
  numberOf,
  numberOrNull,
  orNull,
  parsed,
  requestOf,
  storedMetadata,
  storedTags,
} from './record-codec.ts';
import type { ScriptArguments } from './script-runner.ts';
import type { SessionEntry, SessionOptions, SessionRecord } from './session-ports.ts';
import { sessionTexts } from './signatures.ts';

const storedOptions = createChecker(Type.Object({ provider: Type.String(), cwd: Type.String() }));
const storedFork = createChecker(Type.Object({ sessionId: Type.String(), nativeSessionId: Type.String() }));
const storedRules = createChecker(Type.Array(Type.Tuple([Type.String(), Type.String()])));
const storedEvent = createChecker(
  Type.Union([
    Type.Object({ kind: Type.Literal('terminal.output'), offset: Type.Number(), data: Type.String() }),
    Type.Object({ kind: Type.Literal('terminal.resized'), cols: Type.Number(), rows: Type.Number() }),
    Type.Object({
      kind: Type.Literal('terminal.screen'),
      offset: Type.Number(),
      cols: Type.Number(),
      rows: Type.Number(),
      data: Type.String(),
    }),
  ]),
);

export type StreamEntry = readonly [id: string, fields: readonly string[]];

/** Texts of a session that are JSON in its record. */
export function texts(session: SessionTexts, signer: Signer | null): ScriptArguments {
  const { tags, metadata } = session;
  const options = JSON.stringify(session.options);
  const fork = session.fork === null ? '' : JSON.stringify(session.fork);
  return {
    ...{ options, fork },
    signature: signer?.sign(sessionTexts(session, options, fork)) ?? null,
    tags: JSON.stringify(tags),
    metadata: JSON.stringify(metadata),
  };
}
type SessionTexts = Pick<
  SessionRecord,
  'id' | 'project' | 'principal' | 'options' | 'fork' | 'tags' | 'metadata'
>;

const isStatus = (value: string | undefined): value is SessionStatus =>
  SESSION_STATUSES.some((status) => status === value);

/** What of a job's request holds for the other turns of its session. */
export function optionsOf(request: ResolvedPrompt): SessionOptions {
  const { provider, cwd, permissionMode, allowedTools, disallowedTools, onPermissionDenied } = request;
  const { model, effort, appendSystemPrompt } = request;
  return {
    ...{ provider, cwd, permissionMode, allowedTools, disallowedTools, onPermissionDenied },
    ...(model !== null && { model }),
    ...(effort !== null && { effort }),
    ...(appendSystemPrompt !== null && { appendSystemPrompt }),
  };
}

/** Where Lua cannot read the request of a job, whose JSON it limits, it keeps the whole of it. */
function storedOptionsOf(json: string): SessionOptions {
  // as: checked by the schemas; the request of each turn is checked again
  const found = parsed('options', json, storedOptions) as SessionOptions;
  return 'prompt' in found ? optionsOf(requestOf(json)) : found;
}

/**
 * A hash of HGETALL as a session; null when there is none.
 * @throws AppError record.damaged
 */
export function decodeSession(
  id: string,
  hash: Readonly<Record<string, string>>,
  signer: Signer | null,
): SessionRecord | null {
  if (Object.keys(hash).length === 0) return null;
  const { status, principal } = hash;
  if (!isStatus(status)) throw damaged('its status is none');
  if (principal === undefined) throw damaged('its principal is missing');
  const [fork, rules, tags] = [orNull(hash['fork']), orNull(hash['rules']), orNull(hash['tags'])];
  const metadata = orNull(hash['metadata']);
  const texts = sessionTexts(
    { id, project: hash['project'] ?? '', principal },
    hash['options'] ?? '',
    hash['fork'] ?? '',
  );
  const options = storedOptionsOf(hash['options'] ?? '');
  const isSigned = signer === null || signer.isSigned(texts, hash['signature'] ?? '');
  const signed = rules === null ? [] : (parsed('rules', rules, storedRules) as [string, string][]);
  return {
    id,
    rev: numberOf('rev', hash['rev']),
    kind: hash['kind'] === 'terminal' ? 'terminal' : 'chat',
    explicit: hash['explicit'] === '1',
    name: orNull(hash['name']),
    status,
    statusReason: orNull(hash['statusReason']),
    project: orNull(hash['project']) ?? DEFAULT_PROJECT,
    principal,
    options,
    signed: isSigned,
    nativeSessionId: orNull(hash['nativeSessionId']),
    fork: fork === null || !isSigned ? null : (parsed('fork', fork, storedFork) as SessionRecord['fork']),
    node: orNull(hash['node']),
    rules: signed.flatMap(([rule, signature]) =>
      signer === null || signer.isSigned(['session-rule', id, rule], signature) ? [rule] : [],
    ),
    matchedLine: orNull(hash['matchedLine']),
    terminal:
      hash['kind'] === 'terminal'
        ? {
            cols: numberOf('cols', hash['cols']),
            rows: numberOf('rows', hash['rows']),
            exitCode: numberOrNull('exitCode', hash['exitCode']),
          }
        : null,
    turns: numberOf('turns', hash['turns']),
    lastSeq: numberOf('seq', hash['seq']),
    createdAt: numberOf('createdAt', hash['createdAt']),
    lastActivityAt: numberOf('lastActivityAt', hash['lastActivityAt']),
    closedAt: numberOrNull('closedAt', hash['closedAt']),
    tags: tags === null ? [] : (parsed('tags', tags, storedTags) as string[]),
    metadata:
      metadata === null ? {} : (parsed('metadata', metadata, storedMetadata) as Record<string, string>),
  };
}

/** Null: it points to nothing. */
export function pointerOf(seq: number, jobId: string, from: number, to: number): SessionEntry | null {
  const isValid =
    [seq, from, to].every(Number.isSafeInteger) && from > 0 && from <= to && seq >= to - from + 1;
  return isValid ? { seq, jobId, from, to } : null;
}

/** Null: Bullpen did not write it. */
export function decodeEntry([id, fields]: StreamEntry): SessionEntry | null {
  const field = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) field.set(fields[i] ?? '', fields[i + 1] ?? '');
  const seq = Number(/^(\d{1,15})-0$/.exec(id)?.[1] ?? Number.NaN);
  const jobId = field.get('j');
  if (jobId !== undefined) return pointerOf(seq, jobId, Number(field.get('f')), Number(field.get('l')));
  const [status, ms, body] = [field.get('s'), field.get('t') ?? '', field.get('e')];
  if (!/^\d{1,15}$/.test(ms) || Number.isNaN(seq)) return null;
  const at = new Date(Number(ms)).toISOString();
  if (body !== undefined) return eventOf(seq, at, body);
  if (!isStatus(status)) return null;
  const matchedLine = orNull(field.get('m'));
  const entry = { seq, at, status, reason: orNull(field.get('r')) };
  return matchedLine === null ? entry : { ...entry, matchedLine };
}

function eventOf(seq: number, at: string, body: string): SessionEntry | null {
  try {
    const event: unknown = JSON.parse(body);
    return storedEvent.check(event) ? { seq, at, event } : null;
  } catch {
    return null;
  }
}

/** As SESSION_CREATE takes it. */
export function encodeEntry(entry: SessionEntry): (string | number)[] {
  const fields = fieldsOf(entry);
  return [entry.seq, fields.length, ...fields];
}

function fieldsOf(entry: SessionEntry): (string | number)[] {
  if ('jobId' in entry) return ['j', entry.jobId, 'f', entry.from, 'l', entry.to];
  const at = Date.parse(entry.at);
  if ('event' in entry) return ['t', at, 'e', JSON.stringify(entry.event)];
  const line = entry.matchedLine === undefined ? [] : ['m', entry.matchedLine];
  return ['t', at, 's', entry.status, 'r', entry.reason ?? '', ...line];
}
