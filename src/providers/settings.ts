import { type Static, Type } from 'typebox';
import { ProviderName } from '../protocol/prompt.ts';
import { CustomSettings } from './custom/settings.ts';

const closed = { additionalProperties: false } as const;

const ClaudeSettings = Type.Object(
  {
    binary: Type.Union([Type.String({ minLength: 1 }), Type.Null()], {
      default: null,
      description: 'path or name of the binary; null: looked up on PATH',
    }),
    args: Type.Array(Type.String(), {
      default: [],
      description: 'arguments of every run, for example --mcp-config=/etc/bullpen/mcp.json',
    }),
    maxRetries: Type.Union([Type.Integer({ minimum: 0, maximum: 100 }), Type.Null()], {
      default: null,
      description: 'retries of a failed API call inside the CLI; null: as the CLI does by itself',
    }),
  },
  { ...closed, default: {} },
);

/** The providers' part of the settings. `custom` is keyed by provider name. */
export const ProviderSettings = Type.Object(
  {
    claude: ClaudeSettings,
    custom: Type.Record(Type.String(), CustomSettings, { default: {}, propertyNames: ProviderName }),
  },
  { ...closed, default: {} },
);
export type ProviderSettings = Static<typeof ProviderSettings>;
