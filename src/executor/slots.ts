import type { Providers } from '../providers/registry.ts';
import type { Active } from './active.ts';

/** How many more executions there is room for. */
export interface Slots {
  /** Executions whose CLI may run; those of one provider, or all. */
  running(provider?: string): number;
  free(): number;
  /** For each provider with a limit of its own: how many more may run. */
  freeOf(): Readonly<Record<string, number>>;
  /** Whether a provider is at its own limit: its jobs may then wait although there are free slots. */
  someFull(): boolean;
  /**
   * Makes an execution one of another provider's, its fallback. Resolves when that one has room for it, before
   * anything new is claimed for it, or when the execution is stopped.
   */
  handOn(one: Active, provider: string): Promise<void>;
  /** An execution has ended. */
  freed(): void;
}

/** @param active every execution in hand, as it changes */
export function createSlots(
  active: ReadonlyMap<string, Active>,
  concurrency: number,
  providers: Providers,
): Slots {
  /** In the order in which they came. */
  const waiting = new Map<Active, { readonly provider: string; go(): void }>();

  function left(name: string, limit: number): number {
    return Math.max(0, limit - slots.running(name));
  }

  const slots: Slots = {
    running(name) {
      let count = 0;
      for (const { running, provider } of active.values()) {
        if (running && (name === undefined || provider === name)) count += 1;
      }
      return count;
    },
    free: () => Math.max(0, concurrency - slots.running()),
    freeOf() {
      const free: Record<string, number> = {};
      for (const { provider, defaults } of providers.list()) {
        if (defaults.concurrency === null) continue;
        const ahead = [...waiting.values()].filter((one) => one.provider === provider.name).length;
        free[provider.name] = Math.max(0, left(provider.name, defaults.concurrency) - ahead);
      }
      return free;
    },
    someFull: () => Object.values(slots.freeOf()).some((free) => free === 0),
    handOn(one, provider) {
      const { signal } = one.stop;
      const { promise, resolve } = Promise.withResolvers<void>();
      const go = (): void => {
        waiting.delete(one);
        one.provider = provider;
        signal.removeEventListener('abort', go);
        resolve();
      };
      waiting.set(one, { provider, go });
      if (signal.aborted) go();
      else signal.addEventListener('abort', go, { once: true });
      slots.freed();
      return promise;
    },
    freed() {
      for (const { provider, go } of [...waiting.values()]) {
        const limit = providers.get(provider).defaults.concurrency;
        if (limit === null || left(provider, limit) > 0) go();
      }
    },
  };
  return slots;
}
