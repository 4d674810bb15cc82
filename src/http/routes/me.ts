import { Me } from '../../protocol/key.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers } from '../openapi.ts';
import { NoQuery } from '../parameters.ts';

/** `GET /v1/me`. */
export function meRoute(app: HttpApp): void {
  app.get(
    '/v1/me',
    {
      schema: {
        tags: ['keys'],
        operationId: 'getMe',
        summary: 'Who the caller is, and what its token allows',
        querystring: NoQuery,
        response: {
          200: answer('The caller', { 'application/json': Me }),
          ...errorAnswers('auth.unauthenticated', 'request.not_acceptable'),
        },
      },
    },
    async (request): Promise<Me> => {
      const { id, project, scopes, expiresAt, grant, limits } = principalOf(request);
      const { providers, roots, tools, permissionModes } = grant;
      return {
        ...{ principal: id, project, scopes: [...scopes] },
        expiresAt: expiresAt === null ? null : new Date(expiresAt).toISOString(),
        providers: listOf(providers),
        roots: listOf(roots),
        tools: listOf(tools),
        permissionModes: listOf(permissionModes),
        ...limits,
      };
    },
  );
}

const listOf = <T>(list: readonly T[] | null): T[] | null => (list === null ? null : [...list]);
