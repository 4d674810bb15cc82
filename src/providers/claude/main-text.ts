/** What the main agent has said so far, also when a run is cut in the middle of a sentence. */
export interface MainText {
  delta(text: string): void;
  /** A whole block; it repeats the deltas that led to it. */
  block(text: string): void;
  /** A new message begins: deltas without their block were those of a call that failed and is made again. */
  messageStarted(): void;
  all(): string;
}

/** Starts empty. */
export function createMainText(): MainText {
  const blocks: string[] = [];
  let pending: string[] = [];
  return {
    delta: (text) => void pending.push(text),
    block(text) {
      pending = [];
      blocks.push(text);
    },
    messageStarted() {
      pending = [];
    },
    all: () => [...blocks, pending.join('')].filter((part) => part !== '').join('\n\n'),
  };
}
