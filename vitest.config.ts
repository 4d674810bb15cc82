import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const PROGRAM = 'tests/helpers/program.ts';
const REAL_CLIS = 'tests/helpers/install-clis.ts';

/**
 * What Node compiles is kept for all processes and threads of the tests that have this environment:
 * many of them run the source. They take a fifth less of the CPU time.
 */
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('node_modules/.cache/compile', import.meta.url));

interface ProjectOptions {
  testTimeout: number;
  globalSetup?: string[];
  setupFiles?: string;
}

/** Files at once on two cores, of all projects: a file waits for about half of its time. */
const FILES_AT_ONCE = 3;

/** What a busy machine may take for what is waited for, not what is expected. */
const POLL_MS = 15_000;

/**
 * One project per kind of test; `npm run check` runs `unit` alone. The files of a process share its
 * modules, which a process of its own for each would load again: a third of the CPU time of
 * `integration`.
 */
const project = (name: string, options: ProjectOptions) => ({
  test: {
    name,
    include: [`tests/${name}/**/*.test.ts`, ...(name === 'unit' ? ['tests/*.test.ts'] : [])],
    pool: 'forks' as const,
    isolate: false,
    setupFiles: 'tests/helpers/after-file.ts',
    hookTimeout: 120_000,
    maxWorkers: FILES_AT_ONCE,
    expect: { poll: { timeout: POLL_MS } },
    ...options,
  },
});

/**
 * Files that take longest, so that none of them runs alone at the end. The others follow by project
 * and size; those of `unit` are the last and short.
 */
const LONG = [
  'e2e/page/defaults.test.ts',
  'e2e/page/with-terminals.test.ts',
  'e2e/executor-faults.test.ts',
  'e2e/command-line.test.ts',
  'e2e/package.test.ts',
  'e2e/nemesis.test.ts',
  'clis/continuing.test.ts',
  'clis/gemini-workspace-canary.test.ts',
  'e2e/page/terminals.test.ts',
  'e2e/claude-talk.test.ts',
  'e2e/terminals.test.ts',
  'e2e/live-storm.test.ts',
  'e2e/docs.test.ts',
  'contracts/records.test.ts',
  'e2e/cli-faults.test.ts',
];

class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const index = LONG.findIndex((path) => moduleId.endsWith(path));
      return index === -1 ? LONG.length : index;
    };
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongFilesFirst },
    projects: [
      project('clis', { testTimeout: 120_000, globalSetup: [PROGRAM, REAL_CLIS] }),
      project('contracts', { testTimeout: 60_000, globalSetup: [PROGRAM] }),
      project('e2e', { testTimeout: 120_000, globalSetup: [PROGRAM] }),
      project('integration', { testTimeout: 60_000, globalSetup: [PROGRAM] }),
      project('unit', {
        testTimeout: 30_000,
        setupFiles: 'tests/helpers/unit-rules.ts',
      }),
    ],
  },
});
