import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { type TSchema, Type } from '#typebox';
import { scopedKey } from '../../auth/principal.ts';
import { AppError } from '../../errors.ts';
import { closed } from '../../protocol/schema.ts';
import {
  MAX_INPUT_BYTES,
  TerminalCommand,
  TerminalDone,
  TerminalInput,
  TerminalSignalRequest,
  TerminalSize,
} from '../../protocol/terminal.ts';
import { exampleCommand } from '../examples.ts';
import { type HttpApp, principalOf, whileAllowed } from '../http-app.ts';
import { answer, errorAnswers, pageOf } from '../openapi.ts';
import {
  DEFAULT_LIMIT,
  IdempotencyHeaders,
  idempotencyOf,
  NoQuery,
  Page,
  SessionParams,
  sessionIdOf,
} from '../parameters.ts';
import type { Terminals } from '../session-ports.ts';

const TEXT = 'text/plain';
const ASCIICAST = 'application/x-asciicast';

const OF_TERMINALS = [
  ...(['auth.unauthenticated', 'session.not_found', 'session.wrong_kind'] as const),
  'execution.node_unavailable',
] as const;

/** The schema of a route that acts on a terminal at once. */
const action = <Body extends TSchema>(
  operationId: string,
  summary: string,
  description: string,
  body: Body,
) => ({
  tags: ['sessions'],
  ...{ operationId, summary },
  description: `${description} The same \`Idempotency-Key\` acts once.`,
  headers: IdempotencyHeaders,
  params: SessionParams,
  querystring: NoQuery,
  body,
  response: {
    200: answer('It is done', {
      'application/json': Type.Unsafe<TerminalDone>({
        ...TerminalDone,
        examples: [{ clientSeq: 7, repeated: false }],
      }),
    }),
    ...errorAnswers(...OF_TERMINALS, 'terminal.over', 'request.too_large', 'idempotency.key_reused'),
  },
});

/** `/v1/sessions/:id/…` of a terminal. */
export function terminalRoutes(app: HttpApp, terminals: Terminals): void {
  app.post(
    '/v1/sessions/:id/input',
    {
      schema: action(
        'typeIntoTerminal',
        'Type into a terminal',
        `At most ${MAX_INPUT_BYTES} bytes of UTF-8, written as one piece. The answer comes after the write.`,
        TerminalInput,
      ),
    },
    async (request) => {
      const { data, clientSeq = null } = request.body;
      if (Buffer.byteLength(data) > MAX_INPUT_BYTES) {
        const message = `must have at most ${MAX_INPUT_BYTES} bytes`;
        throw new AppError('request.too_large', `data ${message}`, {
          problems: [{ path: '/data', message }],
        });
      }
      const ask = { kind: 'input', data, clientSeq, messageId: messageIdOf(request) } as const;
      return terminals.ask(principalOf(request), sessionIdOf(request.params), ask);
    },
  );

  app.post(
    '/v1/sessions/:id/resize',
    {
      schema: action(
        'resizeTerminal',
        'Change the size of a terminal',
        'For all its readers: the last one counts.',
        TerminalSize,
      ),
    },
    async (request) => {
      const { cols, rows } = request.body;
      const ask = { kind: 'resize', cols, rows, messageId: messageIdOf(request) } as const;
      return terminals.ask(principalOf(request), sessionIdOf(request.params), ask);
    },
  );

  app.post(
    '/v1/sessions/:id/signal',
    {
      schema: action(
        'signalTerminal',
        'Send a signal to what runs in the foreground of a terminal',
        'As Ctrl-C does for INT, also when the program ignores the key.',
        TerminalSignalRequest,
      ),
    },
    async (request) => {
      const { signal } = request.body;
      const ask = { kind: 'signal', signal, messageId: messageIdOf(request) } as const;
      return terminals.ask(principalOf(request), sessionIdOf(request.params), ask);
    },
  );

  app.get(
    '/v1/sessions/:id/screen',
    {
      config: { produces: [TEXT] },
      schema: {
        tags: ['sessions'],
        operationId: 'getScreen',
        summary: 'What a terminal shows',
        description: 'The visible screen, also of a terminal that has ended.',
        params: SessionParams,
        querystring: Type.Object(
          {
            format: Type.Optional(
              Type.Enum(['text', 'ansi'], {
                description: 'text: its lines; ansi: with colours and the cursor, to write to a terminal',
                default: 'text',
              }),
            ),
          },
          closed,
        ),
        response: {
          200: answer('The screen', { [TEXT]: Type.String({ examples: ['$ ls\nREADME.md\n$'] }) }),
          ...errorAnswers(...OF_TERMINALS, 'request.not_acceptable'),
        },
      },
    },
    async (request, reply) => {
      const { format = 'text' } = request.query;
      const ask = { kind: 'screen', format } as const;
      const { text } = await terminals.ask(principalOf(request), sessionIdOf(request.params), ask);
      return reply.header('content-type', `${TEXT}; charset=utf-8`).send(text);
    },
  );

  app.get(
    '/v1/sessions/:id/recording',
    {
      config: { produces: [ASCIICAST] },
      exposeHeadRoute: false,
      schema: {
        tags: ['sessions'],
        operationId: 'getRecording',
        summary: 'The recording of a terminal so far',
        description:
          'asciicast v2: a header, then a line for each piece of output and each change of the size. Input is not in it.',
        params: SessionParams,
        querystring: NoQuery,
        response: {
          200: answer('The recording', {
            [ASCIICAST]: Type.String({
              examples: ['{"version":2,"width":80,"height":24}\n[0.41,"o","$ "]\n'],
            }),
          }),
          ...errorAnswers(...OF_TERMINALS, 'request.not_acceptable'),
        },
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const id = sessionIdOf(request.params);
      const partFrom = (from: number) => terminals.ask(principal, id, { kind: 'recording', from });
      const first = await partFrom(0); // a refusal is an answer, not a broken stream
      async function* parts() {
        for (let part = first; ; part = await partFrom(part.next)) {
          yield part.text;
          if (part.next === null) return;
        }
      }
      const recording = Readable.from(whileAllowed(request, app.stopping, parts()));
      return reply.header('content-type', ASCIICAST).send(recording);
    },
  );

  app.get(
    '/v1/sessions/:id/history',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'getHistory',
        summary: 'The commands that were typed into a terminal, in order',
        description:
          'Exit codes where the shell reports them (OSC 133). What the screen does not show, like a password, is not kept.',
        params: SessionParams,
        querystring: Type.Object(Page, closed),
        response: {
          200: answer('A page of commands', pageOf(TerminalCommand, exampleCommand)),
          ...errorAnswers(...OF_TERMINALS),
        },
      },
    },
    async (request) => {
      const { limit = DEFAULT_LIMIT, cursor = null } = request.query;
      const ask = { kind: 'history', limit, cursor } as const;
      return terminals.ask(principalOf(request), sessionIdOf(request.params), ask);
    },
  );
}

/** From the Idempotency-Key: another one for each caller. Null: there is none. */
const messageIdOf = (request: FastifyRequest): string | null =>
  scopedKey(principalOf(request), idempotencyOf(request, request.body))?.key ?? null;
