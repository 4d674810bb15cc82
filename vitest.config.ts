import { defineConfig } from 'vitest/config';

const REAL_CLIS = 'tests/helpers/install-clis.ts';

interface ProjectOptions {
  testTimeout: number;
  fileParallelism?: boolean;
  isolate?: boolean;
  globalSetup?: string;
  setupFiles?: string;
}

/** One project per kind of test; `npm run check` runs `unit` alone. */
const project = (name: string, options: ProjectOptions) => ({
  test: {
    name,
    include: [`tests/${name}/**/*.test.ts`, ...(name === 'unit' ? ['tests/*.test.ts'] : [])],
    pool: 'forks' as const,
    hookTimeout: 120_000,
    ...options,
  },
});

export default defineConfig({
  test: {
    projects: [
      project('unit', { testTimeout: 10_000, isolate: false, setupFiles: 'tests/helpers/unit-rules.ts' }),
      project('contracts', { testTimeout: 60_000 }),
      project('integration', { testTimeout: 60_000 }),
      project('e2e', { testTimeout: 120_000, fileParallelism: false, globalSetup: REAL_CLIS }),
      project('clis', { testTimeout: 120_000, fileParallelism: false, globalSetup: REAL_CLIS }),
    ],
  },
});
