import { Type } from '#typebox';
import type { Principal } from '../../auth/principal.ts';
import { AppError } from '../../errors.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers } from '../openapi.ts';
import { NoQuery } from '../parameters.ts';
import type { Preferences } from '../ports.ts';

const MAX_BYTES = 16 * 1024;
const ERRORS = ['auth.unauthenticated', 'auth.forbidden', 'request.not_acceptable'] as const;
const Stored = Type.Record(Type.String(), Type.Unknown(), {
  description: 'any members; the server reads none of them',
  examples: [{ theme: 'dark', columns: ['status', 'cost'] }],
});
const stored = { 'application/json': Stored };

/** `GET` and `PUT /v1/me/preferences`: what pages remember of a caller, on every server. */
export function preferenceRoutes(app: HttpApp, preferences: Preferences): void {
  app.get(
    '/v1/me/preferences',
    {
      schema: {
        tags: ['keys'],
        operationId: 'getPreferences',
        summary: 'What pages remember of the caller',
        querystring: NoQuery,
        response: { 200: answer('As it was stored; at first `{}`', stored), ...errorAnswers(...ERRORS) },
      },
    },
    async (request) => preferences.read(personOf(principalOf(request))),
  );

  app.put(
    '/v1/me/preferences',
    {
      bodyLimit: MAX_BYTES,
      schema: {
        tags: ['keys'],
        operationId: 'setPreferences',
        summary: 'Replace what pages remember of the caller',
        description:
          'One JSON object of at most 16 KiB for each principal. It changes nothing that a job does.',
        querystring: NoQuery,
        body: Stored,
        response: {
          200: answer('As it is stored', stored),
          ...errorAnswers(...ERRORS, 'request.too_large', 'request.unsupported_media_type'),
        },
      },
    },
    async (request) => {
      await preferences.write(personOf(principalOf(request)), request.body);
      return request.body;
    },
  );
}

/** @throws AppError auth.forbidden for a job, which reads no pages */
function personOf(principal: Principal): Principal {
  if (principal.grant.depth === 0) return principal;
  throw new AppError('auth.forbidden', 'a job has no preferences');
}
