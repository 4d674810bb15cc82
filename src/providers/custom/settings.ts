import { type Static, Type } from 'typebox';
import { JobDefaults } from '../job-defaults.ts';

const closed = { additionalProperties: false } as const;
const JSON_POINTER = '^(/([^~/]|~[01])*)*$';
const Pointer = (description: string) => Type.String({ pattern: JSON_POINTER, description });

/** How a custom command's stdout becomes text. Pointers are JSON pointers (RFC 6901). */
export const CustomOutput = Type.Union(
  [
    Type.Literal('text'),
    Type.Object({ json: Pointer('where the text is in the one JSON document on stdout') }, closed),
    Type.Object(
      {
        ndjson: Type.Object(
          {
            text: Pointer('where a piece of text is in a line; lines without it become raw'),
            session: Type.Optional(Pointer("where a line holds the CLI's session id")),
          },
          closed,
        ),
      },
      closed,
    ),
  ],
  { default: 'text' },
);
export type CustomOutput = Static<typeof CustomOutput>;

/** A command line that is a provider of its own. */
export const CustomSettings = Type.Object(
  {
    binary: Type.String({ minLength: 1, description: 'absolute path, or a name looked up on PATH' }),
    args: Type.Array(Type.String(), {
      default: [],
      description: 'arguments; {{model}} and {{effort}} stand for what the job asks',
    }),
    stdin: Type.Boolean({ default: true, description: 'whether the prompt is written to stdin' }),
    env: Type.Array(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), {
      default: [],
      description: "names of the server's variables the command may see",
    }),
    versionArgs: Type.Array(Type.String(), { default: [], description: 'empty: the command has no version' }),
    output: CustomOutput,
    ...JobDefaults,
  },
  // Value.Default fills in a record's values only when their schema has a default itself.
  { ...closed, default: {} },
);
export type CustomSettings = Static<typeof CustomSettings>;
