/** The part of the settings about terminals. Only the file can hold it. */
import { type Static, Type } from '#typebox';
import { closed } from './schema.ts';

export const CommandSettings = Type.Object(
  {
    binary: Type.String({ minLength: 1, description: 'The path of the program, or a name on the PATH.' }),
    args: Type.Array(Type.String(), { default: [], description: 'Its arguments.' }),
    env: Type.Array(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), {
      default: [],
      description: 'The names of further variables of the server that it gets.',
    }),
  },
  // Value.Default fills in the values of a record only if their schema has a default.
  { ...closed, default: {} },
);

export const TerminalSettings = Type.Object(
  {
    enabled: Type.Boolean({
      default: false,
      description: 'Whether a caller with the scope terminals may open terminals on this server.',
    }),
    commands: Type.Record(Type.String(), CommandSettings, {
      default: {},
      propertyNames: Type.String({ pattern: '^[A-Za-z0-9][\\w.-]{0,63}$' }),
      description: 'The commands that a terminal may run beside the CLIs, by name.',
    }),
  },
  { ...closed, default: {} },
);
export type TerminalSettings = Static<typeof TerminalSettings>;
