/** What the main agent has said so far, also when a run is cut in the middle of a sentence. */
export interface MainText {
  delta(text: string): void;
  /** A whole block; it repeats the deltas that led to it. */
  block(text: string): void;
  /** A new message begins: deltas without their block were those of a call that failed and is made again. */
  messageStarted(): void;
  /** A turn has ended. */
  turnEnded(): void;
  /** Drops everything: it was not for the prompt. */
  clear(): void;
  all(): string;
  /** The last block of this turn that is not blank; empty when there is none. */
  last(): string;
}

/** Starts empty. */
export function createMainText(): MainText {
  let blocks: string[] = [];
  let pending: string[] = [];
  let turnStart = 0;
  return {
    delta: (text) => void pending.push(text),
    block(text) {
      pending = [];
      blocks.push(text);
    },
    messageStarted() {
      pending = [];
    },
    turnEnded() {
      if (pending.length > 0) blocks.push(pending.join(''));
      pending = [];
      turnStart = blocks.length;
    },
    clear() {
      blocks = [];
      pending = [];
      turnStart = 0;
    },
    all: () => [...blocks, pending.join('')].filter((part) => part !== '').join('\n\n'),
    last: () => [...blocks.slice(turnStart), pending.join('')].findLast((part) => part.trim() !== '') ?? '',
  };
}
