/**
 * The published table of what a CLI may do wrong and what becomes of its job: each row through the
 * whole system, from a request over HTTP to the outcome, with a job beside it that must not notice.
 * The fake CLI does what its prompt says; only what cannot be said so is a provider of its own
 * (cli-faults/shared-system.ts).
 */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { rowsOfProcessesAndOutput } from './cli-faults/c01-c12.ts';
import { rowsOfAnswersAndBinaries } from './cli-faults/c13-c20.ts';
import { rowsOfLimitsAndStreams } from './cli-faults/c21-c28.ts';
import { rowsOfRaces } from './cli-faults/c29-c31.ts';
import { endNeighbour, startNeighbour } from './cli-faults/row.ts';
import { type SharedSystem, startSharedSystem } from './cli-faults/shared-system.ts';

let system: SharedSystem | null = null;
beforeAll(async () => {
  system = await startSharedSystem();
  await startNeighbour(system);
});
afterAll(() => system?.stop());

const shared = (): SharedSystem => {
  if (system === null) throw new Error('the server has not been started');
  return system;
};

describe('a CLI that does not behave', () => {
  rowsOfProcessesAndOutput(shared);
  rowsOfAnswersAndBinaries(shared);
  rowsOfLimitsAndStreams(shared);
  rowsOfRaces(shared);

  it('has not disturbed the job that ran beside all of them', () => endNeighbour(shared()));
});
