import type { Block, Frame, Turn } from './vendor.ts';

/** Counted by the four-characters rule, so that a test can know the figures beforehand. */
export const tokensOf = (text: string): number => Math.ceil(text.length / 4);

/** What a turn costs in output tokens. */
export function outputTokens(turn: Turn): number {
  return Math.max(1, tokensOf(turn.blocks.map(blockText).join('')));
}

const blockText = (block: Block): string =>
  block.kind === 'tool' ? JSON.stringify(block.input) : block.pieces.join('');

/** One server-sent event of the Messages API. */
export const sse = (type: string, fields: object): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;

/** A content block as it appears in a whole answer. */
export function wholeBlock(block: Block, id: string): object {
  switch (block.kind) {
    case 'text':
      return { type: 'text', text: block.pieces.join('') };
    case 'thinking':
      return { type: 'thinking', thinking: block.pieces.join(''), signature: 'b2ZmbGluZQ==' };
    case 'tool':
      return { type: 'tool_use', id, name: block.name, input: block.input };
  }
}

/** A content block as events: start, deltas, stop. */
export function* blockFrames(block: Block, index: number, id: string): Generator<Frame> {
  yield plain(sse('content_block_start', { index, content_block: emptyBlock(block, id) }));
  for (const { paced, delta } of deltas(block))
    yield { text: sse('content_block_delta', { index, delta }), paced };
  yield plain(sse('content_block_stop', { index }));
}

/** The events that end a streamed turn. */
export function closing(turn: Turn, usage: object): Frame {
  const delta = { stop_reason: stopReason(turn), stop_sequence: null };
  return plain(sse('message_delta', { delta, usage }) + sse('message_stop', {}));
}

/** Why the turn ended, in the API's words. */
export const stopReason = (turn: Turn): string =>
  turn.blocks.some((block) => block.kind === 'tool') ? 'tool_use' : 'end_turn';

const plain = (text: string): Frame => ({ text, paced: false });

function emptyBlock(block: Block, id: string): object {
  if (block.kind === 'tool') return { type: 'tool_use', id, name: block.name, input: {} };
  return block.kind === 'text'
    ? { type: 'text', text: '' }
    : { type: 'thinking', thinking: '', signature: '' };
}

function* deltas(block: Block): Generator<{ paced: boolean; delta: object }> {
  if (block.kind === 'tool') {
    const json = JSON.stringify(block.input);
    const half = Math.ceil(json.length / 2);
    for (const part of ['', json.slice(0, half), json.slice(half)]) {
      yield { paced: false, delta: { type: 'input_json_delta', partial_json: part } };
    }
    return;
  }
  for (const piece of block.pieces) {
    yield {
      paced: true,
      delta:
        block.kind === 'text'
          ? { type: 'text_delta', text: piece }
          : { type: 'thinking_delta', thinking: piece },
    };
  }
  if (block.kind === 'thinking')
    yield { paced: false, delta: { type: 'signature_delta', signature: 'b2ZmbGluZQ==' } };
}
