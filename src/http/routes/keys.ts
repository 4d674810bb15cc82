import { Type } from '#typebox';
import type { Keys } from '../../auth/keys.ts';
import { Key, KeyCreated, KeyList, KeyRequest } from '../../protocol/key.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers } from '../openapi.ts';
import { IdempotencyHeaders, idempotencyOf, NoQuery, optionalBody } from '../parameters.ts';

const ERRORS = ['auth.unauthenticated', 'request.not_acceptable'] as const;
const json = (schema: typeof Key | typeof KeyCreated) => ({ 'application/json': schema });
const KeyParams = Type.Object({ id: Type.String({ description: 'id of a key' }) });
const EmptyBody = Type.Object({}, { additionalProperties: false, examples: [{}] });

/** `/v1/keys`: the tokens of callers, for admins. */
export function keyRoutes(app: HttpApp, keys: Pick<Keys, 'list' | 'create' | 'revoke' | 'rotate'>): void {
  app.get(
    '/v1/keys',
    {
      schema: {
        tags: ['keys'],
        operationId: 'listKeys',
        summary: 'All keys, newest first, without their secrets',
        querystring: NoQuery,
        response: {
          200: answer('All of them; `nextCursor` is always null', {
            'application/json': KeyList,
          }),
          ...errorAnswers(...ERRORS),
        },
      },
    },
    async () => ({ data: [...(await keys.list())], nextCursor: null }),
  );

  app.post(
    '/v1/keys',
    {
      schema: {
        tags: ['keys'],
        operationId: 'createKey',
        summary: 'Make a key',
        description:
          'The answer has the token, which is stored as a digest and cannot be shown again. Every server of the Redis takes the key within two seconds.',
        headers: IdempotencyHeaders,
        querystring: NoQuery,
        body: KeyRequest,
        response: {
          201: answer('The key and its token', json(KeyCreated)),
          ...errorAnswers(...ERRORS, 'idempotency.key_reused', 'request.unsupported_media_type'),
        },
      },
    },
    async (request, reply) => {
      const idempotency = idempotencyOf(request, request.body);
      const created = await keys.create(principalOf(request), request.body, idempotency);
      if (created.token === null) reply.header('idempotent-replayed', 'true');
      return reply.code(201).header('cache-control', 'no-store').send(created);
    },
  );

  app.post(
    '/v1/keys/:id/revoke',
    {
      preValidation: optionalBody,
      schema: {
        tags: ['keys'],
        operationId: 'revokeKey',
        summary: 'Refuse a key from now on',
        description:
          'Every server refuses it within two seconds and ends its streams within five. Its waiting jobs end as `auth.revoked`; what runs goes on.',
        params: KeyParams,
        querystring: NoQuery,
        body: EmptyBody,
        response: { 200: answer('The key', json(Key)), ...errorAnswers(...ERRORS, 'key.not_found') },
      },
    },
    async (request) => keys.revoke(principalOf(request), request.params.id),
  );

  app.post(
    '/v1/keys/:id/rotate',
    {
      preValidation: optionalBody,
      schema: {
        tags: ['keys'],
        operationId: 'rotateKey',
        summary: 'Give a key another token',
        description: 'The token before stops working as after a revocation. The rest of the key stays.',
        params: KeyParams,
        querystring: NoQuery,
        body: EmptyBody,
        response: {
          200: answer('The key and its token', json(KeyCreated)),
          ...errorAnswers(...ERRORS, 'key.not_found', 'key.not_active'),
        },
      },
    },
    async (request, reply) => {
      const rotated = await keys.rotate(principalOf(request), request.params.id);
      return reply.header('cache-control', 'no-store').send(rotated);
    },
  );
}
