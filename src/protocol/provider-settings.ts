import { type Static, type TSchema, Type } from '#typebox';
import { Limits, PermissionMode, ProviderName } from './prompt.ts';
import { closed, MODEL_PATTERN, nullable } from './schema.ts';

const DAY_MS = 86_400_000;

/** Names by which providers were known before, in a request and in the settings. */
export const FORMER_PROVIDERS: ReadonlyMap<string, string> = new Map([
  ['claude-cli', 'claude'],
  ['codex-cli', 'codex'],
  ['gemini-cli', 'gemini'],
  ['cursor-cli', 'cursor-agent'],
]);

/** A setting that may be left alone. */
const setting = <T extends TSchema>(schema: T, description: string) =>
  nullable(schema, { default: null, description });

/** Settings of every provider: the defaults of its jobs, and how many run at once. */
export const JobDefaults = {
  model: setting(
    Type.String({ pattern: `^${MODEL_PATTERN}$` }),
    'The model of a job that names none. With null, it is BULLPEN_MODEL; without that, the CLI decides.',
  ),
  credential: setting(
    Type.String({ pattern: '^[A-Za-z0-9][\\w.@-]{0,63}$' }),
    'The name of the login that its CLI uses. With null, the name is a hash. A usage limit holds for one login on all nodes.',
  ),
  concurrency: setting(
    Type.Integer({ minimum: 1, maximum: 1000 }),
    'How many executions of this provider run at the same time. With null, only BULLPEN_CONCURRENCY limits them.',
  ),
  timeoutMs: setting(
    Type.Integer({ minimum: 1, maximum: DAY_MS }),
    'The run time of a job that sets none. With null, it is BULLPEN_TIMEOUT_MS.',
  ),
  idleTimeoutMs: setting(
    Type.Integer({ minimum: 1, maximum: DAY_MS }),
    'How long a job that sets no limit may run without output. With null, it is BULLPEN_IDLE_TIMEOUT_MS.',
  ),
  limits: Type.Object(Limits.properties, {
    ...closed,
    default: {},
    description: 'The limits of one execution. A job may ask for less.',
  }),
};

const jobDefaults = Type.Object(JobDefaults);
export type JobDefaults = Static<typeof jobDefaults>;

const JSON_POINTER = '^(/([^~/]|~[01])*)*$';
const Pointer = (description: string) => Type.String({ pattern: JSON_POINTER, description });
const optionalPointer = (description: string) => Type.Optional(Pointer(description));
const Expression = Type.String({ minLength: 1, maxLength: 1000 });

/** Where a command's JSON lines hold which value. Only `text` is required. */
export const CustomPointers = Type.Object(
  {
    text: Pointer(
      'Where a line holds a piece of text. A line without any of these values becomes a raw event.',
    ),
    session: optionalPointer("Where a line holds the CLI's session id."),
    toolName: optionalPointer('Where a line holds the name of a tool that starts.'),
    toolId: optionalPointer('Where such a line holds the id of the tool call.'),
    toolInput: optionalPointer('Where such a line holds the input of the tool.'),
    inputTokens: optionalPointer(
      "Where a line holds the run's input tokens so far, without the cached ones.",
    ),
    outputTokens: optionalPointer("Where a line holds the run's output tokens so far."),
    cacheReadTokens: optionalPointer(
      'Where a line holds the tokens that the run has read from the cache so far.',
    ),
    cacheWriteTokens: optionalPointer(
      'Where a line holds the tokens that the run has written to the cache so far.',
    ),
    costUsd: optionalPointer("Where a line holds the run's cost so far, in USD."),
    error: optionalPointer('Where a line holds the message of an error that fails the run.'),
  },
  closed,
);
export type CustomPointers = Static<typeof CustomPointers>;

/** How to read a custom command's stdout. Pointers are JSON pointers (RFC 6901). */
export const CustomOutput = Type.Union(
  [
    Type.Literal('text'),
    Type.Object({ json: Pointer('where the text is in the one JSON document on stdout') }, closed),
    Type.Object({ ndjson: CustomPointers }, closed),
  ],
  { default: 'text' },
);
export type CustomOutput = Static<typeof CustomOutput>;

/**
 * When a run has succeeded: all of these must hold, and stdout must have the text that `output`
 * names.
 */
export const CustomSuccess = Type.Object(
  {
    exitCodes: Type.Array(Type.Integer({ minimum: 0, maximum: 255 }), {
      default: [0],
      minItems: 1,
      description: 'exit codes of a run that succeeded',
    }),
    pattern: setting(Expression, 'regular expression the text must match'),
    failurePattern: setting(Expression, 'regular expression the text must not match'),
    json: setting(
      Type.Object(
        {
          pointer: Pointer('a place in the JSON on stdout; of JSON lines, in the last one that has it'),
          equals: Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()]),
        },
        closed,
      ),
      'a value the JSON on stdout must hold',
    ),
  },
  {
    ...closed,
    default: {},
    description:
      'When a run has succeeded: exitCodes (a list, [0] by default), pattern and failurePattern (regular expressions on the text), json ({pointer, equals}).',
  },
);
export type CustomSuccess = Static<typeof CustomSuccess>;

/** A command line that is a provider of its own. */
export const CustomSettings = Type.Object(
  {
    binary: Type.String({
      minLength: 1,
      description: 'The absolute path, or a name that is looked up on PATH.',
    }),
    args: Type.Array(Type.String(), {
      default: [],
      description:
        "The arguments. {{model}}, {{effort}}, {{cwd}}, {{sessionId}} (the CLI's own id of a resumed session) and {{promptFile}} are filled in from the job. An argument whose value the job does not have is left out.",
    }),
    stdin: Type.Boolean({
      default: true,
      description: 'Whether the prompt is written to stdin. If not, an argument must hold {{promptFile}}.',
    }),
    warmStart: Type.Boolean({
      default: false,
      description:
        'Whether the command may be started before there is a prompt. It must read stdin to its end before it does anything.',
    }),
    env: Type.Array(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), {
      default: [],
      description: "The names of the server's variables that the command gets.",
    }),
    versionArgs: Type.Array(Type.String(), {
      default: [],
      description:
        'The arguments with which the command prints its version. Empty: the command has no version.',
    }),
    output: CustomOutput,
    success: CustomSuccess,
    ...JobDefaults,
  },
  // Value.Default fills in the values of a record only if their schema has a default.
  { ...closed, default: {} },
);
export type CustomSettings = Static<typeof CustomSettings>;

const Args = Type.Array(Type.String());

const builtIn = {
  binary: setting(
    Type.String({ minLength: 1 }),
    'The path or name of the binary. With null, its usual names are looked up on PATH.',
  ),
  args: Type.Array(Type.String(), {
    default: [],
    description: 'Arguments of every run, for example --mcp-config=/etc/bullpen/mcp.json.',
  }),
  env: Type.Array(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), {
    default: [],
    description: 'The names of further variables that the CLI gets.',
  }),
  mode: Type.Enum(PermissionMode.enum, {
    default: 'default',
    description: 'The permissionMode of a job that names none.',
  }),
  modes: Type.Object(
    {
      default: Type.Optional(Args),
      plan: Type.Optional(Args),
      acceptEdits: Type.Optional(Args),
      fullAccess: Type.Optional(Args),
    },
    {
      ...closed,
      default: {},
      description: 'Arguments for a permissionMode, which replace the built-in ones.',
    },
  ),
  maxRetries: setting(
    Type.Integer({ minimum: 0, maximum: 100 }),
    'How often the CLI retries a failed API call. With null, the CLI decides.',
  ),
  fallback: setting(
    ProviderName,
    'The provider that runs a job when this CLI is not installed or cannot be started. With null, the job fails.',
  ),
  quotaReserve: setting(
    Type.Number({ minimum: 0.01, maximum: 1 }),
    'The part of a usage limit that is kept for jobs without a negative priority: with 0.2, no job with a negative priority starts while 80 % are used. With null, nothing is kept.',
  ),
  ...JobDefaults,
};

/** How one built-in provider is set up. */
export const BuiltInSettings = Type.Object(builtIn, { ...closed, default: {} });
export type BuiltInSettings = Static<typeof BuiltInSettings>;

const CodexSettings = Type.Object(
  {
    ...builtIn,
    transport: Type.Enum(['exec', 'app-server'], {
      default: 'exec',
      description:
        'How Bullpen speaks with codex. exec: one process for each prompt. app-server: its control protocol, for approvals, steering, interrupts and forks; the process of a session stays for its next turn.',
    }),
  },
  { ...closed, default: {} },
);

/** The providers' part of the settings. `custom` is keyed by provider name. */
export const ProviderSettings = Type.Object(
  {
    claude: BuiltInSettings,
    codex: CodexSettings,
    gemini: BuiltInSettings,
    'cursor-agent': BuiltInSettings,
    'anthropic-sdk': BuiltInSettings,
    custom: Type.Record(Type.String(), CustomSettings, { default: {}, propertyNames: ProviderName }),
  },
  { ...closed, default: {} },
);
export type ProviderSettings = Static<typeof ProviderSettings>;

/** Limits of each CLI process, as one block. A value that is left out has the default here. */
export const PROCESS_LIMITS = {
  maxProcesses: Type.Integer({
    default: 20,
    minimum: 1,
    maximum: 1000,
    description: 'How many executions run at the same time (BULLPEN_CONCURRENCY). Further jobs wait.',
  }),
  idleTimeoutMs: Type.Integer({
    default: 300_000,
    minimum: 1,
    maximum: DAY_MS,
    description:
      'How long a process may be silent in a job, or wait for a prompt (BULLPEN_IDLE_TIMEOUT_MS, BULLPEN_WARM_IDLE_MS, BULLPEN_SESSION_IDLE_MS).',
  }),
  maxMemoryBytes: Type.Integer({
    default: 2 * 1024 ** 3,
    minimum: 1,
    description: 'The resident memory of one execution (BULLPEN_MAX_MEMORY_BYTES).',
  }),
  maxCpuPercent: Type.Integer({
    default: 80,
    minimum: 1,
    maximum: 100_000,
    description: 'The CPU use of one execution (BULLPEN_MAX_CPU_PERCENT).',
  }),
  cpuWindowMs: Type.Integer({
    default: 60_000,
    minimum: 1000,
    maximum: DAY_MS,
    description: 'The time over which it is measured (BULLPEN_CPU_WINDOW_MS).',
  }),
  maxOpenFiles: Type.Integer({
    default: 1024,
    minimum: 1,
    description: 'The open files of one execution (BULLPEN_MAX_OPEN_FILES).',
  }),
  timeoutMs: Type.Integer({
    default: 300_000,
    minimum: 1,
    maximum: DAY_MS,
    description: 'The run time of a job that sets none (BULLPEN_TIMEOUT_MS).',
  }),
} as const;
export const ProcessLimits = nullable(Type.Object(PROCESS_LIMITS, closed), { default: null });
