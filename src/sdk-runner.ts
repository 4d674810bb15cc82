import { fileURLToPath } from 'node:url';
import type { ProviderHost } from './providers/built-in.ts';
import { siblingModule } from './sibling-module.ts';

/** Where this server's own program for the Messages API lies; this very Node runs it. */
export const findSdkRunner = (): ProviderHost['sdkRunner'] => ({
  node: process.execPath,
  script: fileURLToPath(siblingModule(import.meta.url, './anthropic-runner/main')),
});
