/** The fields of a job's request, as the server describes them. */
import { type Field, fieldsOf, type Schema } from './form-fields.ts';

/** The schema of the request, from the description of the API itself. */
export async function readFields(signal: AbortSignal): Promise<readonly Field[]> {
  const response = await fetch('/openapi.json', { signal });
  if (!response.ok) throw new Error(`/openapi.json: the server answered ${response.status}`);
  const api: OpenApi = await response.json();
  const operations = Object.values(api.paths).flatMap((path) => Object.values(path));
  const create = operations.find(({ operationId }) => operationId === 'createJob');
  const schema = create?.requestBody?.content['application/json']?.schema ?? {};
  const name = schema.$ref?.split('/').at(-1);
  return fieldsOf(name === undefined ? schema : (api.components.schemas[name] ?? {})).filter(
    ({ path }) => path !== '/prompt',
  );
}

/** What is read of the document. */
interface OpenApi {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<
        Record<
          string,
          {
            readonly operationId?: string;
            readonly requestBody?: {
              readonly content: Readonly<Record<string, { readonly schema: Schema }>>;
            };
          }
        >
      >
    >
  >;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}
