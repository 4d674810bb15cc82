import { type Static, Type } from 'typebox';
import { PermissionMode, ProviderName } from '../protocol/prompt.ts';
import { CustomSettings } from './custom/settings.ts';
import { JobDefaults, nullable } from './job-defaults.ts';

const closed = { additionalProperties: false } as const;
const Args = Type.Array(Type.String());

/** What can be overridden of a built-in provider. */
const builtIn = {
  binary: nullable(
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
      description: 'arguments that stand for a permissionMode, instead of the built-in ones',
    },
  ),
  maxRetries: nullable(
    Type.Integer({ minimum: 0, maximum: 100 }),
    'retries of a failed API call inside the CLI; null: as the CLI does by itself',
  ),
  fallback: nullable(
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
