import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const REAL_CLIS = 'tests/helpers/install-clis.ts';

interface ProjectOptions {
  testTimeout: number;
  isolate?: boolean;
  globalSetup?: string;
  setupFiles?: string;
}

/**
 * How many files run at once on two cores. The projects of one group run together, the next group
 * begins when the last file of the one before has ended.
 */
const WHOLE_SERVERS = { maxWorkers: 2, sequence: { groupOrder: 1 } };
/** These mostly wait. */
const PARTS = { maxWorkers: 3, sequence: { groupOrder: 2 } };

/** One project per kind of test; `npm run check` runs `unit` alone. */
const project = (name: string, group: typeof PARTS, options: ProjectOptions) => ({
  test: {
    name,
    include: [`tests/${name}/**/*.test.ts`, ...(name === 'unit' ? ['tests/*.test.ts'] : [])],
    pool: 'forks' as const,
    hookTimeout: 120_000,
    ...group,
    ...options,
  },
});

/** Files that take long, so that none of them runs alone at the end. The others follow by size. */
const LONG = [
  'e2e/nemesis.test.ts',
  'e2e/cli-faults.test.ts',
  'e2e/kill-matrix.test.ts',
  'e2e/promotion-kills.test.ts',
  'clis/zero-leaks.test.ts',
  'e2e/restart.test.ts',
  'e2e/outcomes.test.ts',
  'e2e/warm.test.ts',
  'e2e/claude.test.ts',
  'e2e/command-line.test.ts',
  'e2e/package.test.ts',
  'e2e/claude-sessions.test.ts',
  'e2e/zero-leaks.test.ts',
  'e2e/usage.test.ts',
  'integration/shutdown.test.ts',
  'integration/two-servers.test.ts',
  'redis-faults/away.test.ts',
  'queue/sandbox.test.ts',
  'processes/server-faults.test.ts',
  'integration/launcher-faults.test.ts',
  'redis-faults/pubsub.test.ts',
];

class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const group = ({ project: { config } }: TestSpecification) => config.sequence.groupOrder;
    const place = ({ moduleId }: TestSpecification): number => {
      const index = LONG.findIndex((path) => moduleId.endsWith(path));
      return index === -1 ? LONG.length : index;
    };
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => group(a) - group(b) || place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongFilesFirst },
    projects: [
      project('clis', WHOLE_SERVERS, { testTimeout: 120_000, globalSetup: REAL_CLIS }),
      project('contracts', WHOLE_SERVERS, { testTimeout: 60_000 }),
      project('e2e', WHOLE_SERVERS, { testTimeout: 120_000 }),
      project('integration', PARTS, { testTimeout: 60_000 }),
      project('unit', PARTS, {
        testTimeout: 30_000,
        isolate: false,
        setupFiles: 'tests/helpers/unit-rules.ts',
      }),
    ],
  },
});
