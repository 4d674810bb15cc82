/** What a shortened line is copied into. Texts are copied here: as JSON writes them, and cut at their limit. */
import { Byte, isPlain } from './json-bytes.ts';

const FIRST_BYTES = 64 * 1024;
/** A text is cut up to so many bytes early, so that no character and no surrogate pair is halved. */
const SLACK = 16;

export class JsonCopy {
  readonly #maxTextBytes: number;
  #out = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;

  // Of the text that is being read:
  #copying = false;
  #wasCut = false;
  #ended = true;
  #limit = 0;
  #textBytes = 0;
  #escape: number[] = [];
  /** The length of the copy before the half of a surrogate pair that ends it; -1: none does. */
  #halfPairAt = -1;

  /** @param maxTextBytes a text keeps at least so many bytes (as UTF-8, escapes resolved) if its limit allows */
  constructor(maxTextBytes: number) {
    this.#maxTextBytes = maxTextBytes + SLACK;
  }

  get length(): number {
    return this.#length;
  }
  /** The last text was read to its end. */
  get textEnded(): boolean {
    return this.#ended;
  }
  /** Its end is missing in the copy. */
  get textWasCut(): boolean {
    return this.#wasCut;
  }

  slice(start: number, end: number): string {
    return this.#out.toString('utf8', start, end);
  }

  /** Takes back what was copied last. */
  shrink(length: number): void {
    this.#length = length;
  }

  put(byte: number): void {
    if (this.#length === this.#out.length) this.#grow(1);
    this.#out[this.#length] = byte;
    this.#length += 1;
  }

  /** Its first quote was read. @param limit length of the copy at which it is cut; null: it is not copied */
  beginText(limit: number | null): void {
    this.#copying = limit !== null;
    this.#wasCut = false;
    this.#ended = false;
    this.#limit = limit ?? 0;
    this.#textBytes = 0;
    this.#halfPairAt = -1;
    if (this.#copying) this.put(Byte.quote);
  }

  /** How far the text was read; -1: it is none. */
  readText(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.#escape.length > 0) {
      this.#readEscape(bytes[at] ?? 0);
      at += 1;
    }
    const from = at;
    while (at < end && isPlain(bytes[at] ?? 0)) at += 1;
    if (this.#copying && at > from) this.#append(bytes, from, at);
    if (at === end) return end;
    if (bytes[at] === Byte.quote) this.#endText();
    else if (bytes[at] === Byte.backslash) this.#escape.push(Byte.backslash);
    else return -1;
    return at + 1;
  }

  #endText(): void {
    this.#ended = true;
    if (this.#copying || this.#wasCut) this.put(Byte.quote);
  }

  #append(bytes: Buffer, start: number, end: number): void {
    const room = Math.floor(Math.min(this.#limit - this.#length, this.#maxTextBytes - this.#textBytes));
    const taken = Math.max(0, Math.min(room, end - start));
    if (taken > 0) {
      if (this.#length + taken > this.#out.length) this.#grow(taken);
      bytes.copy(this.#out, this.#length, start, start + taken);
      this.#length += taken;
      this.#textBytes += taken;
      this.#halfPairAt = -1;
    }
    if (taken === end - start) return;
    this.#length = characterBoundary(this.#out, this.#length, bytes[start + taken]);
    this.#cut();
  }

  #readEscape(byte: number): void {
    const unit = this.#escape;
    unit.push(byte);
    const isUnicode = unit[1] === Byte.lowerU;
    if (isUnicode && unit.length < 6) return;
    this.#escape = [];
    if (!this.#copying) return;
    const code = isUnicode ? Number.parseInt(String.fromCharCode(...unit.slice(2)), 16) : 0;
    const isHalfPair = (code & 0xf800) === 0xd800;
    this.#textBytes += code < 0x80 ? 1 : code < 0x800 || isHalfPair ? 2 : 3;
    if (this.#textBytes > this.#maxTextBytes || this.#length + unit.length > this.#limit) {
      this.#cut();
      return;
    }
    this.#halfPairAt = (code & 0xfc00) === 0xd800 ? this.#length : -1;
    for (const one of unit) this.put(one);
  }

  #cut(): void {
    if (this.#halfPairAt >= 0) this.#length = this.#halfPairAt;
    this.#copying = false;
    this.#wasCut = true;
  }

  #grow(by: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#out.length * 2, this.#length + by));
    this.#out.copy(grown, 0, 0, this.#length);
    this.#out = grown;
  }
}

const isContinuation = (byte: number | undefined): boolean => ((byte ?? 0) & 0xc0) === 0x80;
const isLead = (byte: number | undefined): boolean => ((byte ?? 0) & 0xc0) === 0xc0;

/** Where to cut at or before `end` so that no character is halved. `next` is the first byte left out. */
export function characterBoundary(bytes: Buffer, end: number, next: number | undefined): number {
  if (!isContinuation(next)) return end;
  let cut = end - 1;
  while (cut > 0 && end - cut < 3 && isContinuation(bytes[cut])) cut -= 1;
  return isLead(bytes[cut]) ? cut : end;
}
