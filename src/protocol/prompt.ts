import { type Static, Type } from '#typebox';
import { AppError } from '../errors.ts';
import { invalid } from './problem.ts';
import { closed, MODEL_PATTERN, nullable, ULID } from './schema.ts';

/** 1 MiB, in UTF-8 bytes. Larger prompts belong in files of the workspace. */
export const MAX_PROMPT_BYTES = 1024 * 1024;

const TOOL_PATTERN = '^[A-Za-z_][\\w.*-]{0,127}(\\([^(),\\u0000-\\u001f]{1,256}\\))?$';
const TAG_PATTERN = '^[^\\u0000-\\u001f]{1,64}$';

export const ProviderName = Type.String({
  pattern: '^[a-z][a-z0-9-]{0,31}$',
  description: 'name of a provider',
});
export const PermissionMode = Type.Enum(['default', 'plan', 'acceptEdits', 'fullAccess']);
export type PermissionMode = Static<typeof PermissionMode>;
const Background = Type.Enum(['stop', 'wait'], {
  description:
    'work that goes on after the answer (background tasks, a wake-up): stop it, or wait for it; default: stop',
});
const DAY_MS = 86_400_000;
/** How long a job that names nothing else waits for usage limits. */
export const QUOTA_TIMEOUT_MS = 7 * DAY_MS;
/** How long an approval of a job that names nothing else may be open. */
export const APPROVAL_TIMEOUT_MS = 7 * DAY_MS;
/** How far in the future a job may begin to wait for its turn. */
export const MAX_DELAY_MS = 30 * DAY_MS;
const RetryMode = Type.Enum(['continue', 'restart'], {
  description: 'where a later attempt begins: in the session as it is, or from the start; default: continue',
});
export const ToolPattern = Type.String({ pattern: TOOL_PATTERN });
const ToolList = Type.Array(ToolPattern, { maxItems: 64 });

/**
 * What one execution and its tools may use. Left out: as much as the settings allow. Measured once
 * a second: a short excess may pass.
 */
export const Limits = Type.Object(
  {
    memoryBytes: Type.Optional(
      Type.Integer({ minimum: 1, description: 'resident memory of all its processes' }),
    ),
    cpuSeconds: Type.Optional(Type.Integer({ minimum: 1, description: 'CPU time of all its processes' })),
    openFiles: Type.Optional(Type.Integer({ minimum: 1, description: 'open files of all its processes' })),
    processes: Type.Optional(Type.Integer({ minimum: 1, description: 'processes at the same time' })),
    outputBytes: Type.Optional(Type.Integer({ minimum: 1, description: 'stdout and stderr' })),
    lineBytes: Type.Optional(
      Type.Integer({ minimum: 1, description: 'one line of stdout; longer ones are cut' }),
    ),
  },
  closed,
);
export type Limits = Static<typeof Limits>;

/** All options besides the prompt. Units are in the names. */
export const promptOptions = {
  provider: Type.Optional(ProviderName),
  model: Type.Optional(Type.String({ pattern: `^${MODEL_PATTERN}$` })),
  effort: Type.Optional(Type.Enum(['low', 'medium', 'high', 'xhigh', 'max'])),
  cwd: Type.Optional(
    Type.String({ minLength: 1, maxLength: 4096, description: 'absolute, inside an allowed root' }),
  ),
  sessionId: Type.Optional(Type.String({ pattern: ULID.source })),
  permissionMode: Type.Optional(PermissionMode),
  allowedTools: Type.Optional(ToolList),
  disallowedTools: Type.Optional(ToolList),
  onPermissionDenied: Type.Optional(
    Type.Enum(['report', 'fail', 'ask'], {
      description:
        'what the rules do not allow: report it in the outcome, fail, or ask a person; default: report',
    }),
  ),
  approvalTimeoutMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 30 * DAY_MS,
      description: 'how long an approval may be open; then the job fails as approval.expired',
    }),
  ),
  background: Type.Optional(Background),
  appendSystemPrompt: Type.Optional(
    Type.String({ minLength: 1, maxLength: 65_536, pattern: '^[^\\u0000]*$' }),
  ),
  outputSchema: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  maxTurns: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
  maxCostUsd: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 10_000 })),
  providerOptions: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  limits: Type.Optional(Limits),
  timeoutMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400_000 })),
  idleTimeoutMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400_000 })),
  ttlMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_592_000_000 })),
  priority: Type.Optional(Type.Integer({ minimum: -10, maximum: 10 })),
  delayMs: Type.Optional(
    Type.Integer({ minimum: 0, maximum: MAX_DELAY_MS, description: 'time until it may start' }),
  ),
  runAt: Type.Optional(
    Type.String({
      format: 'date-time',
      description: 'instead of delayMs: RFC 3339, when it may start; the past means now',
    }),
  ),
  retry: Type.Optional(
    Type.Object(
      {
        maxAttempts: Type.Optional(Type.Integer({ minimum: 1, maximum: 20 })),
        mode: Type.Optional(RetryMode),
      },
      closed,
    ),
  ),
  continuePrompt: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 65_536,
      pattern: '^[^\\u0000]*$',
      description: 'what a later execution asks in a session that has the prompt',
    }),
  ),
  autoContinue: Type.Optional(
    Type.Boolean({
      description:
        'whether up to three continuations after a crash or an overload do not count as attempts; default: true',
    }),
  ),
  onQuota: Type.Optional(
    Type.Enum(['wait', 'fail'], {
      description: 'at a usage limit: wait for its end without a process, or fail; default: wait',
    }),
  ),
  quotaTimeoutMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 30 * DAY_MS,
      description: 'how long the job may wait for usage limits; then it fails as execution.quota',
    }),
  ),
  concurrencyKey: Type.Optional(Type.String({ pattern: '^[^\\u0000-\\u001f]{1,128}$' })),
  tags: Type.Optional(Type.Array(Type.String({ pattern: TAG_PATTERN }), { maxItems: 32, uniqueItems: true })),
  metadata: Type.Optional(
    Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 1024 }), { maxProperties: 32 }),
  ),
};

/** Body of `POST /v1/jobs`. Unknown fields are refused. */
export const PromptRequest = Type.Object(
  {
    prompt: Type.String({ minLength: 1, maxLength: MAX_PROMPT_BYTES, pattern: '^[^\\u0000]*$' }),
    ...promptOptions,
  },
  { ...closed, examples: [{ prompt: 'Say hello' }] },
);
export type PromptRequest = Static<typeof PromptRequest>;

/** What a caller calls a prompt of a batch. */
export const CustomId = Type.String({
  pattern: '^[^\\u0000-\\u001f]{1,64}$',
  description: 'your own id; comes back in the items, the job and the results',
});

/** A prompt of a batch. */
export const BatchPrompt = Type.Object(
  { ...PromptRequest.properties, customId: Type.Optional(CustomId) },
  closed,
);
export type BatchPrompt = Static<typeof BatchPrompt>;

/** The fields of a request to change. */
export const PromptOverrides = Type.Partial(PromptRequest, { ...closed, examples: [{}] });
export type PromptOverrides = Static<typeof PromptOverrides>;

/** Where a retry begins. */
export const RetryFrom = Type.Enum(['session', 'start'], {
  description:
    "where it begins: in the job's session as it is, or with the prompt; default: session, where the CLI has begun it",
});
export type RetryFrom = Static<typeof RetryFrom>;

/** Body of `POST /v1/jobs/:id/retry`. */
export const RetryRequest = Type.Object(
  {
    from: Type.Optional(RetryFrom),
    ...PromptOverrides.properties,
  },
  { ...closed, examples: [{ from: 'session' }] },
);
export type RetryRequest = Static<typeof RetryRequest>;

const asked = Type.Required(PromptRequest).properties;

/**
 * A request with the settings' defaults, as the job record holds it. The bounds are those of a
 * caller's request. `null`: not asked for.
 */
export const ResolvedPrompt = Type.Object(
  {
    prompt: asked.prompt,
    provider: asked.provider,
    model: nullable(asked.model),
    effort: nullable(asked.effort),
    cwd: asked.cwd,
    sessionId: nullable(asked.sessionId),
    permissionMode: asked.permissionMode,
    allowedTools: asked.allowedTools,
    disallowedTools: asked.disallowedTools,
    onPermissionDenied: asked.onPermissionDenied,
    /** Left out in records of older servers: `stop`. */
    background: Type.Optional(asked.background),
    appendSystemPrompt: nullable(asked.appendSystemPrompt),
    outputSchema: nullable(asked.outputSchema),
    maxTurns: nullable(asked.maxTurns),
    maxCostUsd: nullable(asked.maxCostUsd),
    providerOptions: asked.providerOptions,
    limits: asked.limits,
    timeoutMs: asked.timeoutMs,
    idleTimeoutMs: asked.idleTimeoutMs,
    ttlMs: nullable(asked.ttlMs),
    priority: asked.priority,
    /** With `runAt`: until then, when the job was made. */
    delayMs: asked.delayMs,
    runAt: Type.Optional(asked.runAt),
    maxAttempts: Type.Required(asked.retry).properties.maxAttempts,
    /** Left out in records of older servers. */
    onQuota: Type.Optional(asked.onQuota),
    quotaTimeoutMs: Type.Optional(asked.quotaTimeoutMs),
    approvalTimeoutMs: Type.Optional(asked.approvalTimeoutMs),
    /** The three fields are left out where the caller has not set them. */
    retryMode: Type.Optional(RetryMode),
    continuePrompt: Type.Optional(asked.continuePrompt),
    autoContinue: Type.Optional(asked.autoContinue),
    /**
     * The session may have the prompt from an earlier job. `asked`: it has. Else its transcript
     * shows it, from `since` on (RFC 3339). Left out: the prompt is new to the session.
     */
    continues: Type.Optional(Type.Object({ asked: Type.Boolean(), since: Type.String() }, closed)),
    concurrencyKey: nullable(asked.concurrencyKey),
    tags: asked.tags,
    metadata: asked.metadata,
    /** Of a prompt of a batch; a retry keeps it. */
    customId: Type.Optional(CustomId),
  },
  closed,
);
export type ResolvedPrompt = Static<typeof ResolvedPrompt>;

/**
 * Checks what a schema cannot express: a prompt's size in bytes, and that it is not only space.
 * @throws AppError request.too_large, request.invalid
 */
export function checkPromptText(request: unknown): void {
  if (typeof request !== 'object' || request === null || !('prompt' in request)) return;
  const { prompt } = request;
  if (typeof prompt !== 'string' || prompt === '') return;
  if (Buffer.byteLength(prompt) > MAX_PROMPT_BYTES) {
    const message = `must have at most ${MAX_PROMPT_BYTES} bytes`;
    throw new AppError('request.too_large', `prompt ${message}`, {
      problems: [{ path: '/prompt', message }],
    });
  }
  if (prompt.trim() === '') throw invalid([{ path: '/prompt', message: 'must not be only white space' }]);
}
