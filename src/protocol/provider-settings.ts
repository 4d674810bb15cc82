import { type Static, type TSchema, Type } from 'typebox';
import { Limits, PermissionMode, ProviderName } from './prompt.ts';
import { closed, MODEL_PATTERN, nullable } from './schema.ts';

const DAY_MS = 86_400_000;

/** A setting that may be left alone. */
const setting = <T extends TSchema>(schema: T, description: string) =>
  nullable(schema, { default: null, description });

/** Settings of every provider: the defaults of its jobs, and how many run at once. */
export const JobDefaults = {
  model: setting(
    Type.String({ pattern: `^${MODEL_PATTERN}$` }),
    'model of a job that names none; null: BULLPEN_MODEL, else the CLI decides',
  ),
  concurrency: setting(
    Type.Integer({ minimum: 1, maximum: 1000 }),
    'executions of this provider at once; null: as many as BULLPEN_CONCURRENCY allows',
  ),
  timeoutMs: setting(
    Type.Integer({ minimum: 1, maximum: DAY_MS }),
    'run time of a job that names none (ms); null: BULLPEN_TIMEOUT_MS',
  ),
  idleTimeoutMs: setting(
    Type.Integer({ minimum: 1, maximum: DAY_MS }),
    'silence allowed to a job that names none (ms); null: BULLPEN_IDLE_TIMEOUT_MS',
  ),
  limits: Type.Object(Limits.properties, {
    ...closed,
    default: {},
    description: 'what one execution may use; a job may ask for less',
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
    text: Pointer('where a line holds a piece of text; a line without any of these becomes raw'),
    session: optionalPointer("where a line holds the CLI's session id"),
    toolName: optionalPointer('where a line holds the name of a tool that starts'),
    toolId: optionalPointer("where such a line holds the tool call's id"),
    toolInput: optionalPointer('where such a line holds the input of the tool'),
    inputTokens: optionalPointer("where a line holds the run's input tokens so far, cached ones left out"),
    outputTokens: optionalPointer("where a line holds the run's output tokens so far"),
    cacheReadTokens: optionalPointer("where a line holds the run's tokens read from the cache so far"),
    cacheWriteTokens: optionalPointer("where a line holds the run's tokens written to the cache so far"),
    costUsd: optionalPointer("where a line holds the run's cost so far"),
    error: optionalPointer('where a line holds the message of an error that fails the run'),
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
      'when a run has succeeded: exitCodes (list; [0]), pattern and failurePattern (regular expressions on the text), json ({pointer, equals})',
  },
);
export type CustomSuccess = Static<typeof CustomSuccess>;

/** A command line that is a provider of its own. */
export const CustomSettings = Type.Object(
  {
    binary: Type.String({ minLength: 1, description: 'absolute path, or a name looked up on PATH' }),
    args: Type.Array(Type.String(), {
      default: [],
      description:
        "arguments; {{model}}, {{effort}}, {{cwd}}, {{sessionId}} (the CLI's own, to resume) and {{promptFile}} are filled in from the job; an argument whose value the job does not have is left out",
    }),
    stdin: Type.Boolean({
      default: true,
      description: 'whether the prompt is written to stdin; if not, an argument must hold {{promptFile}}',
    }),
    warmStart: Type.Boolean({
      default: false,
      description:
        'whether it may be started before there is a prompt: it must read stdin to its end before it does anything',
    }),
    env: Type.Array(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), {
      default: [],
      description: "names of the server's variables the command may see",
    }),
    versionArgs: Type.Array(Type.String(), {
      default: [],
      description: 'arguments that print the version; empty: none',
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
    'path or name of the binary; null: looked up on PATH under its usual names',
  ),
  args: Type.Array(Type.String(), {
    default: [],
    description: 'arguments of every run, for example --mcp-config=/etc/bullpen/mcp.json',
  }),
  env: Type.Array(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), {
    default: [],
    description: "more of the server's variables the CLI may see",
  }),
  mode: Type.Enum(PermissionMode.enum, {
    default: 'default',
    description: 'permissionMode of a job that names none',
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
      description: 'arguments for a permissionMode, instead of the built-in ones',
    },
  ),
  maxRetries: setting(
    Type.Integer({ minimum: 0, maximum: 100 }),
    'retries of a failed API call inside the CLI; null: as the CLI does by itself',
  ),
  fallback: setting(
    ProviderName,
    'provider that runs a job when this CLI is not installed or cannot be started; null: the job fails',
  ),
  ...JobDefaults,
};

/** How one built-in provider is set up. */
export const BuiltInSettings = Type.Object(builtIn, { ...closed, default: {} });
export type BuiltInSettings = Static<typeof BuiltInSettings>;

/** The providers' part of the settings. `custom` is keyed by provider name. */
export const ProviderSettings = Type.Object(
  {
    claude: BuiltInSettings,
    codex: BuiltInSettings,
    gemini: BuiltInSettings,
    'cursor-agent': BuiltInSettings,
    'anthropic-sdk': BuiltInSettings,
    custom: Type.Record(Type.String(), CustomSettings, { default: {}, propertyNames: ProviderName }),
  },
  { ...closed, default: {} },
);
export type ProviderSettings = Static<typeof ProviderSettings>;
