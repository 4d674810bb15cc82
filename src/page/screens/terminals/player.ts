/** Plays a recording on a screen: from any place, at any speed. */
import type { Recording } from './recording.ts';
import type { Screen } from './xterm.ts';

export interface Player {
  play(): void;
  pause(): void;
  /** Shows the screen of a moment, in ms of play. */
  seek(at: number): void;
  setSpeed(speed: number): void;
  stop(): void;
}

export interface PlayerOptions {
  readonly recording: Recording;
  readonly screen: Screen;
  /** Where it is, and whether it plays, after each change. */
  onChange(state: { readonly at: number; readonly playing: boolean }): void;
}

/** As often as positions are shown. */
const STEP_MS = 50;

export function createPlayer({ recording, screen, onChange }: PlayerOptions): Player {
  const { moments, duration } = recording;
  let at = 0;
  let speed = 1;
  let playing = false;
  let stopped = false;
  /** The first moment that is not shown yet. */
  let next = 0;
  /** One thing after the other. A later seek makes the rest of an earlier one needless. */
  let showing = screen.reset(recording.size);
  let round = 0;
  let timer: ReturnType<typeof setInterval> | undefined;

  async function catchUp(from: number): Promise<void> {
    while (!stopped && round === from) {
      if ((moments[next - 1]?.at ?? 0) > at) {
        next = 0;
        await screen.reset(recording.size);
      }
      const moment = moments[next];
      if (moment === undefined || moment.at > at) return;
      next += 1;
      if (moment.size !== null) await screen.resize(moment.size);
      if (moment.output !== null) await screen.write(moment.output);
    }
  }
  function show(): void {
    const from = round;
    showing = showing.then(() => catchUp(from));
    onChange({ at, playing });
  }
  function pause(): void {
    playing = false;
    clearInterval(timer);
    onChange({ at, playing });
  }
  function step(ms: number): void {
    at = Math.min(duration, at + ms * speed);
    show();
    if (at >= duration) pause();
  }
  function seek(to: number): void {
    at = Math.min(Math.max(0, to), duration);
    round += 1;
    show();
  }
  return {
    play() {
      if (playing || stopped) return;
      if (at >= duration) seek(0);
      playing = true;
      let last = performance.now();
      timer = setInterval(() => {
        const now = performance.now();
        step(now - last);
        last = now;
      }, STEP_MS);
      onChange({ at, playing });
    },
    pause,
    seek,
    setSpeed(value) {
      speed = value;
    },
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}
