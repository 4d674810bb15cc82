/** The filters of the list of jobs, as the address bar has them. */
import type { JobFilter } from '../../../protocol/job.ts';

/** Conditions with several values. */
export const LISTS = ['status', 'waitReason', 'provider', 'model', 'tag', 'errorCode'] as const;
/** Conditions with one value. */
const TEXTS = ['batch', 'session', 'project', 'principal', 'createdAfter', 'createdBefore', 'q'] as const;

export type Condition = keyof JobFilter;

/** How each condition is named for people. */
export const NAMES: Readonly<Record<Condition, string>> = {
  status: 'Status',
  waitReason: 'Waits for',
  provider: 'Provider',
  model: 'Model',
  tag: 'Tag',
  batch: 'Batch',
  session: 'Session',
  project: 'Project',
  principal: 'Created by',
  errorCode: 'Error',
  archived: 'Archived',
  createdAfter: 'Created after',
  createdBefore: 'Created before',
  q: 'Text',
};

/** The conditions in an address. As the server does, it splits a single value at its commas. */
export function filterOf(query: URLSearchParams): JobFilter {
  const filter: Record<string, string | readonly string[] | boolean> = {};
  for (const name of LISTS) {
    const given = query.getAll(name);
    const values = given.length === 1 ? (given[0] ?? '').split(',') : given;
    const distinct = [...new Set(values)].filter((value) => value !== '');
    if (distinct.length > 0) filter[name] = distinct;
  }
  for (const name of TEXTS) {
    const value = query.get(name);
    if (value !== null && value !== '') filter[name] = value;
  }
  const archived = query.get('archived');
  if (archived === 'true' || archived === 'false') filter['archived'] = archived === 'true';
  return filter as JobFilter; // the names above are those of the filter; the server checks the values
}

/** The values of a condition as the address bar has them. */
export function valuesOf(filter: JobFilter, name: Condition): readonly string[] {
  const value = filter[name];
  if (value === undefined) return [];
  return typeof value === 'object' ? value : [String(value)];
}

/** For `withQuery`: a value with a comma is repeated, so that it is not split. */
export const queryValues = (values: readonly string[]): readonly string[] | null =>
  values.length === 0
    ? null
    : values.length === 1 && values[0]?.includes(',')
      ? [...values, ...values]
      : values;

/** Every active condition, each value on its own. */
export function conditionsOf(
  filter: JobFilter,
): readonly { readonly name: Condition; readonly value: string }[] {
  const names = Object.keys(NAMES) as Condition[]; // as: the keys of the table
  return names.flatMap((name) => valuesOf(filter, name).map((value) => ({ name, value })));
}
