import type { WarmStart } from './provider.ts';

/** A command that reads its prompt to the end of stdin before it does anything, and of which nothing else is known. */
export const PLAIN_WARM_START: WarmStart = {
  isReady: () => false,
  reads: { workspace: [], home: [] },
  speaksFirst: false,
  takesTurns: false,
};
