/** The routes of a server that runs its executions here. All of them are signed. */
import type { FastifyRequest } from 'fastify';
import { Type } from '#typebox';
import { AppError } from '../../errors.ts';
import { NDJSON } from '../../http/event-stream.ts';
import { DEFAULT_HTTP_SETTINGS } from '../../http/fastify.ts';
import { type HttpApp, untilLeft } from '../../http/http-app.ts';
import { MAX_JSON_DEPTH, MAX_JSON_ITEMS } from '../../http/validation.ts';
import {
  CancelRequest,
  type ClisAnswer,
  type ExecutionAnswer,
  type ExecutionsAnswer,
  NODE_HEADER,
  RemoteId,
  Submission,
  VERSION_HEADER,
} from '../../protocol/executor-service.ts';
import { closed } from '../../protocol/schema.ts';
import type { CliReport } from '../../protocol/server-info.ts';
import type { RemoteExecutions } from '../ports.ts';
import { type LineStreams, sendLines } from './execution-stream.ts';

/** A submission has a request that a server has taken, with what it adds, one level deeper. */
const SUBMISSION_BYTES = 2 * DEFAULT_HTTP_SETTINGS.bodyLimitBytes;
const SUBMISSION_ITEMS = 2 * MAX_JSON_ITEMS;
const SUBMISSION_DEPTH = MAX_JSON_DEPTH + 1;

const Named = Type.Object({ id: RemoteId }, closed);
const After = Type.Object({ after: Type.Optional(Type.Integer({ minimum: 0 })) }, closed);
const None = Type.Object({}, closed);

/** An execution is never given up, and always ended, however many requests its server makes. */
const OF_A_RUN = { uncounted: true } as const;

export function executionRoutes(
  app: HttpApp,
  {
    executions,
    version,
    streams,
    clis,
  }: {
    readonly executions: RemoteExecutions;
    /** Of this program. */
    readonly version: string;
    readonly streams: LineStreams;
    /** The CLIs of this host. */
    clis(): Promise<readonly CliReport[]>;
  },
): void {
  const { node } = executions;
  // Of errors, too: a server asks whether it is the executor that it knows.
  app.addHook('onRequest', async (_request, reply) => void reply.header(NODE_HEADER, node));

  /** Before the schema, which may be another one there. What runs can be followed and cancelled. */
  const preValidation = async ({ headers }: FastifyRequest): Promise<void> => {
    const { [VERSION_HEADER]: other = version } = headers;
    if (other === version) return;
    const both = `it has version ${version}, and the server ${other}: give both the same one`;
    throw new AppError('executor.unavailable', both);
  };

  app.post(
    '/v1/executions',
    {
      preValidation,
      bodyLimit: SUBMISSION_BYTES,
      config: { maxJsonItems: SUBMISSION_ITEMS, maxJsonDepth: SUBMISSION_DEPTH },
      schema: { body: Submission, querystring: None },
    },
    async ({ body }, reply): Promise<ExecutionAnswer> => {
      reply.code(202);
      return { node, execution: await executions.submit(body) };
    },
  );

  app.get(
    '/v1/executions',
    { preValidation, config: { whileStopping: true }, schema: { querystring: None } },
    async (): Promise<ExecutionsAnswer> => ({ node, executions: [...(await executions.known())] }),
  );

  app.get(
    '/v1/providers',
    { config: { whileStopping: true }, schema: { querystring: None } },
    async (): Promise<ClisAnswer> => ({ node, providers: [...(await clis())] }),
  );

  app.post(
    '/v1/executions/:id/cancel',
    {
      config: { whileStopping: true, ...OF_A_RUN },
      schema: { params: Named, body: CancelRequest, querystring: None },
    },
    async ({ params, body }): Promise<ExecutionAnswer> => ({
      node,
      execution: await executions.cancel(params.id, body),
    }),
  );

  app.get(
    '/v1/executions/:id/events',
    {
      exposeHeadRoute: false,
      config: { whileStopping: true, produces: [NDJSON], ...OF_A_RUN },
      schema: { params: Named, querystring: After },
    },
    async (request, reply) => {
      const { after = 0 } = request.query;
      const left = untilLeft(request, reply, app.stopping);
      const until = AbortSignal.any([left, AbortSignal.timeout(streams.streamMs)]);
      const lines = await executions.follow(request.params.id, after, until);
      await sendLines(reply, lines, streams);
    },
  );
}
