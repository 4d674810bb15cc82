import type { StoredEvent } from '../protocol/event.ts';
import { type EventFilter, type EventFormat, passes } from './event-format.ts';
import { type Piece, pieceOf } from './stream-writer.ts';

/** A reader that is slow gets no more than this ahead of its pace. */
const PIECE_BYTES = 64 * 1024;
/** More ways to ask than readers use: those of older readers are forgotten, not taken from them. */
const MAX_SHARED = 100;

/** Batches as bytes, for readers of one format and filter. */
export type EncodeBatch = (batch: readonly StoredEvent[]) => readonly Piece[];

/**
 * Encodes each batch once for all readers that ask for the same of it: they share the bytes. What nobody holds any
 * more is forgotten.
 */
export function createEventEncoder(): (format: EventFormat, filter: EventFilter) => EncodeBatch {
  const known = new WeakMap<readonly StoredEvent[], Map<string, readonly Piece[]>>();
  const shared = new Map<string, EncodeBatch>();
  return (format, filter) => {
    const kinds = filter.kinds === null ? '*' : [...filter.kinds].sort().join();
    const reader = `${format.contentType} ${filter.raw} ${kinds}`;
    const same = shared.get(reader);
    if (same !== undefined) return same;
    const encode: EncodeBatch = (batch) => {
      const ofBatch = known.get(batch) ?? new Map<string, readonly Piece[]>();
      known.set(batch, ofBatch);
      const pieces = ofBatch.get(reader) ?? encodeBatch(batch, format, filter);
      ofBatch.set(reader, pieces);
      return pieces;
    };
    if (shared.size >= MAX_SHARED) shared.clear();
    shared.set(reader, encode);
    return encode;
  };
}

function encodeBatch(batch: readonly StoredEvent[], format: EventFormat, filter: EventFilter): Piece[] {
  const pieces: Piece[] = [];
  let piece = '';
  for (const event of batch) {
    if (!passes(event, filter)) continue;
    piece += format.encode(event, filter.raw);
    if (piece.length < PIECE_BYTES) continue;
    pieces.push(pieceOf(piece));
    piece = '';
  }
  if (piece !== '') pieces.push(pieceOf(piece));
  return pieces;
}
