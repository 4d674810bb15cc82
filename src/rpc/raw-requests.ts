/**
 * Raw requests: jobs by hand over Redis pub/sub, for debugging.
 *
 * `redis-cli PUBLISH claude:cli:requests '{"id":"test","prompt":"Hello","args":["--print"]}'`
 *
 * Each message becomes a job like any other, owned by `raw`. Its id is only echoed in the answer,
 * so the same command works again and again. Delivery is at most once: a message that no server
 * received is lost, and PUBLISH returns 0.
 */
import type { Logger } from 'pino';
import { jobGrantOf } from '../auth/job-grant.ts';
import { actorOf, RAW_PRINCIPAL } from '../auth/principal.ts';
import { AppError, messageOf } from '../errors.ts';
import type { NewId } from '../ids.ts';
import { MAX_MESSAGE_BYTES, type RawAnswer, type RawRequest } from '../protocol/messages.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { PromptRequest, ResolvedPrompt } from '../protocol/prompt.ts';
import type { Claim, Claims } from '../records/ports.ts';
import { sessionOf } from '../records/record-codec.ts';
import type { Redactor } from '../redactor.ts';
import type { Doorbells } from '../redis/doorbells.ts';

/** Fields of a job's metadata that hold a raw request's own id and its output format. */
export const RAW_ID = 'rawId';
export const RAW_FORMAT = 'rawFormat';

export interface RawRequestsOptions {
  /**
   * `auto`: on with the private Redis, if nothing is signed. Every user of this machine can publish
   * there.
   */
  readonly mode: 'auto' | 'on' | 'off';
  readonly privateRedis: boolean;
  /** Whether records are signed. */
  readonly signs: boolean;
  readonly claims: Pick<Claims, 'adopt'>;
  readonly doorbells: Pick<Doorbells, 'publish'>;
  /** The channel of the answers. */
  readonly responses: string;
  /** Applies the settings' defaults and checks every option; throws AppError. */
  resolve(request: PromptRequest): Promise<ResolvedPrompt>;
  newId(): NewId;
  newExecutionId(): string;
  readonly redactor: Redactor;
  readonly logger: Logger;
}

export interface RawRequests {
  /** Makes a job of the request, or answers why not. */
  request(raw: RawRequest): Promise<void>;
  /** Answers a message that is no request. */
  refused(id: string | number | null, why: string): Promise<void>;
}

/** Null: raw requests are off. */
export function createRawRequests({
  mode,
  privateRedis,
  signs,
  claims,
  doorbells,
  responses,
  resolve,
  newId,
  newExecutionId,
  redactor,
  logger,
}: RawRequestsOptions): RawRequests | null {
  if (mode === 'off' || (mode === 'auto' && (!privateRedis || signs))) return null;
  if (signs)
    logger.warn('raw requests are on (BULLPEN_RAW_REQUESTS): who can publish in Redis can run prompts');
  const refused = (id: string | number | null, error: string): Promise<void> =>
    doorbells.publish(responses, encode({ id, success: false, error: redactor.text(error) }));

  return {
    refused,

    async request(raw) {
      let request: ResolvedPrompt;
      try {
        const { fields, format } = parseRawArgs(raw.args ?? []);
        request = await resolve({
          ...fields,
          metadata: { [RAW_ID]: JSON.stringify(raw.id), [RAW_FORMAT]: format },
          prompt: raw.prompt,
          ...(raw.provider === undefined ? {} : { provider: raw.provider }),
          ...(raw.cwd === undefined ? {} : { cwd: raw.cwd }),
          ...(raw.timeoutMs === undefined ? {} : { timeoutMs: raw.timeoutMs }),
        });
      } catch (error) {
        await refused(raw.id, messageOf(error));
        return;
      }
      const { id, createdAt } = newId();
      const job = {
        id,
        createdAt,
        kind: 'raw',
        project: RAW_PRINCIPAL.project,
        principal: RAW_PRINCIPAL.id,
        grant: jobGrantOf(RAW_PRINCIPAL),
        sessionId: sessionOf(id, request),
        request,
        retryOf: null,
        pin: null,
        idempotency: null,
        by: actorOf(RAW_PRINCIPAL),
      } as const;
      // Several servers receive the message; one of them adopts it.
      await claims.adopt(job, newExecutionId());
    },
  };
}

type RawFields = Omit<Partial<PromptRequest>, 'prompt'>;

/** Flags of the CLI that have no effect, because Bullpen always works that way. */
const IGNORED = new Set(['-p', '--print', '--verbose', '--include-partial-messages']);

/** Flags without a value, and what they ask for. */
const SWITCHES = new Map<string, RawFields>([
  ['--dangerously-skip-permissions', { permissionMode: 'fullAccess' }],
]);

/**
 * The allow-list: a flag and the field of a job request it sets. The request is checked afterwards.
 */
const FLAGS = new Map<string, (value: string) => RawFields>([
  ['--model', (model) => ({ model })],
  ['--effort', (effort) => ({ effort: effort as NonNullable<PromptRequest['effort']> })], // as: checked with the request
  ['--max-turns', (turns) => ({ maxTurns: integer('--max-turns', turns) })],
  ['--append-system-prompt', (appendSystemPrompt) => ({ appendSystemPrompt })],
]);

/**
 * Turns the CLI arguments of a raw request into fields of a job request.
 * @throws AppError request.invalid with the name of the argument that is not allowed
 */
export function parseRawArgs(args: readonly string[]): { fields: RawFields; format: string } {
  let fields: RawFields = {};
  let format = 'text';
  for (let i = 0; i < args.length; i += 1) {
    const arg = args[i] ?? '';
    if (IGNORED.has(arg)) continue;
    const asked = SWITCHES.get(arg);
    if (asked !== undefined) {
      fields = { ...fields, ...asked };
      continue;
    }
    const [flag = '', inline] = arg.split(/=(.*)/s, 2);
    const value = inline ?? args[i + 1];
    if (flag === '--output-format') {
      if (value !== 'text' && value !== 'json' && value !== 'stream-json') {
        throw new AppError('request.invalid', 'the argument --output-format needs text, json or stream-json');
      }
      format = value;
    } else {
      const field = FLAGS.get(flag);
      if (field === undefined)
        throw new AppError('request.invalid', `the argument ${flag} is not allowed in a raw request`);
      if (value === undefined) throw new AppError('request.invalid', `the argument ${flag} needs a value`);
      fields = { ...fields, ...field(value) };
    }
    if (inline === undefined) i += 1;
  }
  return { fields, format };
}

function integer(flag: string, value: string): number {
  if (!/^\d{1,6}$/.test(value))
    throw new AppError('request.invalid', `the argument ${flag} needs a whole number`);
  return Number(value);
}

/** The answer to a raw request: the CLI's text, or its own result line when JSON was asked for. */
export function rawAnswer(claim: Claim, outcome: Outcome, resultLine: string | null): string {
  const { metadata } = claim.request;
  const id = rawIdOf(metadata[RAW_ID]);
  if (outcome.error !== null)
    return encode({ id, success: false, error: `${outcome.error.code}: ${outcome.error.message}` });
  return encode({ id, success: true, result: rawResult(metadata[RAW_FORMAT], outcome, resultLine) });
}

/** The text of an answer: the CLI's own result line when another format than text was asked for. */
export const rawResult = (
  format: string | undefined,
  { text }: Pick<Outcome, 'text'>,
  resultLine: string | null,
): string => (format !== 'text' && resultLine !== null ? resultLine : text);

/** The caller's id from the job's metadata; null when there is none. */
function rawIdOf(text: string | undefined): string | number | null {
  try {
    const id: unknown = JSON.parse(text ?? 'null');
    return typeof id === 'string' || typeof id === 'number' ? id : null;
  } catch {
    return null;
  }
}

const CUT_MARK = '… [cut]';

/** The message of an answer. A text that is too long for a message (64 KiB) is cut and marked. */
export function encode(answer: RawAnswer): string {
  const whole = JSON.stringify(answer);
  if (Buffer.byteLength(whole) <= MAX_MESSAGE_BYTES) return whole;
  const text = answer.success ? answer.result : answer.error;
  // Escaping makes a character at most six times longer (\u0000), and UTF-8 takes at most 3 bytes
  // for one UTF-16 unit. So the length is tried, and halved until the message fits.
  for (let length = MAX_MESSAGE_BYTES; ; length = Math.floor(length / 2)) {
    const cut = text.slice(0, length) + CUT_MARK;
    const message = JSON.stringify(answer.success ? { ...answer, result: cut } : { ...answer, error: cut });
    if (Buffer.byteLength(message) <= MAX_MESSAGE_BYTES) return message;
  }
}
