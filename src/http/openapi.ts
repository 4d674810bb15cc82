import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifySchema } from 'fastify';
import { type TSchema, Type } from '#typebox';
import { SESSION_COOKIE } from '../auth/logins.ts';
import { ERROR_CODES, type ErrorCode } from '../errors.ts';
import { Job, JobListItem } from '../protocol/job.ts';
import { ProblemDetails } from '../protocol/problem.ts';
import { BatchPrompt, PromptRequest } from '../protocol/prompt.ts';
import { nullable } from '../protocol/schema.ts';
import { exampleJob, exampleListItem } from './examples.ts';
import type { Access, HttpApp } from './http-app.ts';
import { PROBLEM_TYPE } from './problem.ts';

/** Schemas that the OpenAPI document defines once and refers to by name. */
export type SharedSchema = 'Job' | 'JobListItem' | 'PromptRequest' | 'BatchPrompt' | 'Problem';

/** A reference to a shared schema. */
export const shared = (name: SharedSchema, description?: string): TSchema =>
  Type.Unsafe({ $ref: `${name}#`, ...(description === undefined ? {} : { description }) });

const REQUEST = 'the body with which `POST /v1/jobs` makes the same job; what asks for nothing is left out';

const SHARED: Readonly<Record<SharedSchema, TSchema>> = {
  Job: {
    ...Job,
    properties: { ...Job.properties, request: shared('PromptRequest', REQUEST) },
    examples: [exampleJob],
  },
  JobListItem: { ...JobListItem, examples: [exampleListItem] },
  PromptRequest,
  BatchPrompt,
  Problem: ProblemDetails,
};

/** The ways to authenticate, each with the scope that the caller needs. */
function securityOf(access: Access, ticket: boolean): Record<string, string[]>[] {
  if (access === 'public') return [];
  const scopes = access === 'caller' ? [] : [access];
  return [{ bearer: scopes }, { login: scopes }, ...(ticket ? [{ ticket: [] }] : [])];
}

/** Swagger UI writes styles into its page. */
const PAGE_POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Serves the OpenAPI 3.1 document of the routes at /openapi.json, and its page at /docs. */
export async function openapi(app: HttpApp, version: string): Promise<void> {
  for (const [name, schema] of Object.entries(SHARED)) app.addSchema({ ...schema, $id: name });
  app.addHook('onRoute', (route) => {
    if (route.schema === undefined || route.schema.hide === true) return;
    const { access = 'admin', ticket } = route.config ?? {};
    route.schema.security = securityOf(access, ticket !== undefined);
    // as: `response` may be any object, and errorAnswers has one for each status
    const answers = route.schema.response as Readonly<Record<string, unknown>> | undefined;
    if (access !== 'public') route.schema.response = withCodes(answers, OF_CALLERS);
  });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Bullpen',
        version,
        description: 'Runs coding-agent CLIs as background jobs.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'a key, a JWT, or the admin token' },
          login: { type: 'apiKey', in: 'cookie', name: SESSION_COOKIE, description: 'from /login' },
          ticket: { type: 'apiKey', in: 'query', name: 'ticket', description: 'from POST /v1/stream-tokens' },
        },
      },
      tags: [
        { name: 'jobs', description: 'Prompts that run in the background' },
        { name: 'batches', description: 'Many prompts in one call' },
        { name: 'sessions', description: 'Conversations with a CLI' },
        { name: 'approvals', description: 'What running jobs ask of a person' },
        { name: 'events', description: 'What happens to a job or in a session, as it happens' },
        { name: 'usage', description: 'What the executions have used and cost' },
        { name: 'keys', description: 'What callers may do' },
        { name: 'audit', description: 'What callers did' },
        { name: 'server', description: 'What the server can do and how it is' },
        { name: 'login', description: 'For browsers' },
      ],
    },
    transform: ({ schema, url }) => ({ schema: withJsonAsText(schema), url }),
    refResolver: { buildLocalReference: (json) => String(json['$id']) },
  });
  app.get(
    '/openapi.json',
    {
      schema: {
        tags: ['server'],
        operationId: 'getOpenApi',
        summary: 'This document',
        response: {
          200: answer('OpenAPI 3.1', {
            'application/json': Type.Unknown({ examples: [{ openapi: '3.1.0' }] }),
          }),
        },
      },
    },
    async () => app.swagger(),
  );
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, access: 'caller', page: true, produces: ['*'] };
    });
    await scope.register(swaggerUi, { routePrefix: '/docs', staticCSP: PAGE_POLICY });
  });
}

/**
 * Documents objects in a query string as text, because callers send them as JSON. For an object,
 * the form on the page would send another encoding.
 */
function withJsonAsText<S extends FastifySchema>(schema: S): S {
  const query = schema.querystring;
  if (!Type.IsObject(query)) return schema;
  const properties = Object.entries(query.properties).map(([name, field]) => [
    name,
    Type.IsObject(field) || Type.IsRecord(field) ? Type.String({ description: 'an object as JSON' }) : field,
  ]);
  return { ...schema, querystring: { ...query, properties: Object.fromEntries(properties) } };
}

/** An answer in the OpenAPI document: its meaning, and the schema of each content type. */
export const answer = (description: string, content: Readonly<Record<string, TSchema>>) => ({
  description,
  content: Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }])),
});

/** The answer of a list that has pages. */
export const pageOf = (item: TSchema, example: unknown) => ({
  'application/json': Type.Object(
    { data: Type.Array(item), nextCursor: nullable(Type.String()) },
    { examples: [{ data: [example], nextCursor: null }] },
  ),
});

/** An answer without a body. */
export const emptyAnswer = (description: string) => ({ description, type: 'null' });

/** Codes that every route with a handler may answer. */
const COMMON: readonly ErrorCode[] = [
  'request.invalid',
  'request.misdirected',
  'redis.unavailable',
  'server.busy',
  'server.stopping',
  'internal.error',
];

/** Codes that every route with a token may answer. */
const OF_CALLERS: readonly ErrorCode[] = [
  'auth.forbidden',
  'auth.too_many_attempts',
  'auth.unavailable',
  'limit.requests_per_minute',
];

/** The answers of a route, in which these codes are named, too. */
function withCodes(answers: Readonly<Record<string, unknown>> | undefined, codes: readonly ErrorCode[]) {
  const all: Record<string, unknown> = { ...answers };
  for (const code of codes) {
    const { status, title } = ERROR_CODES[code];
    // as: answer and emptyAnswer make them
    const own = all[status] as { readonly description: string } | undefined;
    const named = `\`${code}\`: ${title}`;
    if (own === undefined) all[status] = answer(named, { [PROBLEM_TYPE]: shared('Problem') });
    else if (!own.description.includes(`\`${code}\``))
      all[status] = { ...own, description: `${own.description}; ${named}` };
  }
  return all;
}

/** What POST answers when a limit of the caller, or of its project, is reached. */
export const LIMITS = [
  'limit.requests_per_minute',
  'limit.jobs_per_hour',
  'limit.max_queued',
  'limit.usd_per_day',
] as const satisfies readonly ErrorCode[];

/** The error answers of a route by status: its own codes and the common ones. */
export function errorAnswers(...codes: readonly ErrorCode[]) {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of [...codes, ...COMMON]) {
    const { status } = ERROR_CODES[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, all]) => [
      status,
      answer(all.map((code) => `\`${code}\`: ${ERROR_CODES[code].title}`).join('; '), {
        [PROBLEM_TYPE]: shared('Problem'),
      }),
    ]),
  );
}
