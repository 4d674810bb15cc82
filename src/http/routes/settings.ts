import { Type } from '#typebox';
import { SettingInForce } from '../../protocol/server-info.ts';
import type { HttpApp } from '../http-app.ts';
import { answer, errorAnswers } from '../openapi.ts';
import { NoQuery } from '../parameters.ts';

const SettingList = Type.Object(
  { data: Type.Array(SettingInForce) },
  {
    examples: [
      {
        data: [
          { name: 'concurrency', variable: 'BULLPEN_CONCURRENCY', value: 5, source: 'default' },
          { name: 'jwtSecret', variable: 'JWT_SECRET', value: '[redacted]', source: 'environment' },
        ],
      },
    ],
  },
);

/** `GET /v1/settings`, for admins. */
export function settingsRoute(app: HttpApp, settings: readonly SettingInForce[]): void {
  app.get(
    '/v1/settings',
    {
      schema: {
        tags: ['server'],
        operationId: 'listSettings',
        summary: 'The settings in force, by name, without secrets',
        querystring: NoQuery,
        response: {
          200: answer('All of them', { 'application/json': SettingList }),
          ...errorAnswers('auth.unauthenticated', 'auth.forbidden', 'request.not_acceptable'),
        },
      },
    },
    async () => ({ data: [...settings] }),
  );
}
