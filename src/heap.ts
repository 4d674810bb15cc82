import v8 from 'node:v8';

/** The young generation is let grow to about this; V8's own maximum is eight times that, and it keeps what it took. */
const YOUNG_BYTES = 16 * 1024 * 1024;
/** The old one may hold half as much garbage as it holds of use before it is collected; V8's own choice is thrice. */
const GARBAGE_PERCENT = 50;
const LOOK_EVERY_MS = 100;

/**
 * Keeps a flood of requests from leaving the process with hundreds of megabytes it does not need: what is taken
 * passes through here and stays in Redis. Costs some per cent of throughput. Holds nothing open.
 */
export function holdHeapDown(): void {
  v8.setFlagsFromString(`--heap-growing-percent=${GARBAGE_PERCENT}`);
  let grows: boolean | null = null;
  const look = (): void => {
    const young = v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    const mayGrow = (young?.space_size ?? 0) < YOUNG_BYTES;
    if (mayGrow === grows) return;
    grows = mayGrow;
    // Read by V8 at each collection: how many times larger the next one may be.
    v8.setFlagsFromString(`--semi-space-growth-factor=${mayGrow ? 2 : 1}`);
  };
  look();
  setInterval(look, LOOK_EVERY_MS).unref();
}
