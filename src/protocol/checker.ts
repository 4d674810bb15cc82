import type { Static, TSchema } from '#typebox';
import { Compile, type Validator } from '#typebox/compile';

/** Checks values by a schema. */
export interface Checker<Schema extends TSchema> {
  /** Whether the value has the form of the schema. */
  check(value: unknown): value is Static<Schema>;
  /** Every problem of a value that was refused. */
  errors(value: unknown): ReturnType<Validator['Errors']>;
}

/** It is compiled when it is first used: a process has many, and most of them use few. */
export function createChecker<Schema extends TSchema>(schema: Schema): Checker<Schema> {
  let compiled: Validator | null = null;
  const validator = (): Validator => {
    compiled ??= Compile(schema);
    return compiled;
  };
  return {
    check: (value): value is Static<Schema> => validator().Check(value),
    errors: (value) => validator().Errors(value),
  };
}
