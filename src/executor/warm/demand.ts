import { keyOf } from './entry.ts';
import type { Template } from './template.ts';

/** What should wait: a process for each job that does, else one for the shape served last. */
export interface Demand {
  served(template: Template): void;
  /** First come first. */
  expect(templates: readonly Template[]): void;
  /** Nobody has come for it in a long time. */
  forget(template: Template): void;
  wanted(): readonly Template[];
}

/** Starts with none. */
export function createDemand(): Demand {
  let last: Template | null = null;
  let expected: readonly Template[] = [];
  return {
    served(template) {
      last = template;
    },
    expect(templates) {
      expected = templates;
    },
    forget(template) {
      if (last !== null && keyOf(last) === keyOf(template)) last = null;
    },
    wanted() {
      if (expected.length > 0) return expected;
      return last === null ? [] : [last];
    },
  };
}
