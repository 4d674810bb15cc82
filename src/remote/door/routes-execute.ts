/** `POST /execute`, as clients of the original system send it. */
import { type Static, type TSchema, Type } from '#typebox';
import { type AppError, ERROR_CODES } from '../../errors.ts';
import { type HttpApp, untilLeft } from '../../http/http-app.ts';
import { errorHandler } from '../../http/problem.ts';
import type { OutcomeError } from '../../protocol/outcome.ts';
import { checkPromptText, type PromptRequest, promptOptions } from '../../protocol/prompt.ts';
import { closed, nullable } from '../../protocol/schema.ts';
import type { Redactor } from '../../redactor.ts';
import { parseRawArgs, RAW_FORMAT, rawResult } from '../../rpc/raw-requests.ts';
import type { RemoteExecutions } from '../ports.ts';

const asked = Type.Required(Type.Object(promptOptions)).properties;

/** null: as left out. Some clients send every field. */
const orNull = <T extends TSchema>(schema: T) => Type.Optional(nullable(schema));

const ExecuteRequest = Type.Object(
  {
    prompt: Type.String({ minLength: 1, pattern: '^[^\\u0000]*$' }),
    args: orNull(Type.Array(Type.String({ maxLength: 4096 }), { maxItems: 64 })),
    cwd: orNull(asked.cwd),
    timeout: orNull(asked.timeoutMs),
  },
  closed,
);

/** Its own answers and those of its errors have the same form. */
type ExecuteAnswer =
  | { readonly success: true; readonly result: string; readonly executionTime: number }
  | { readonly success: false; readonly error: string; readonly code: string };

const failure = (code: string, error: string): ExecuteAnswer => ({ success: false, error, code });

export function executeRoute(
  app: HttpApp,
  { executions, redactor }: { readonly executions: RemoteExecutions; readonly redactor: Redactor },
): void {
  errorHandler(app, redactor, {
    type: 'application/json; charset=utf-8',
    body: ({ code, message }: AppError) => failure(code, message),
  });

  app.post(
    '/execute',
    {
      config: { signature: 'original' },
      schema: { body: ExecuteRequest, querystring: Type.Object({}, closed) },
    },
    async (request, reply): Promise<ExecuteAnswer> => {
      const begun = performance.now();
      const { fields, format } = parseRawArgs(request.body.args ?? []);
      const left = untilLeft(request, reply, app.stopping);
      const { outcome, finalLine } = await executions.execute(promptOf(request.body, fields, format), left);
      if (outcome.error !== null) {
        const { code, message } = outcome.error;
        reply.code(statusOf(outcome.error));
        return failure(code, message);
      }
      const executionTime = Math.round(performance.now() - begun);
      return { success: true, result: rawResult(format, outcome, finalLine), executionTime };
    },
  );
}

/** @throws AppError request.too_large, request.invalid */
function promptOf(
  { prompt, cwd, timeout }: Static<typeof ExecuteRequest>,
  fields: ReturnType<typeof parseRawArgs>['fields'],
  format: string,
): PromptRequest {
  checkPromptText({ prompt });
  return {
    ...fields,
    metadata: { [RAW_FORMAT]: format },
    prompt,
    ...(cwd ? { cwd } : {}),
    ...(timeout ? { timeoutMs: timeout } : {}),
  };
}

/** An outcome's code is text, which another version may have written. */
const statusOf = ({ code }: OutcomeError): number =>
  Object.entries(ERROR_CODES).find(([known]) => known === code)?.[1].status ?? 500;
