/**
 * Shortens a JSON line that is too long to hold, while it comes in, in linear time. The result is
 * JSON: a long text keeps its beginning, and members that do not fit their object or array are left
 * out. On the upper levels, one value gets at most half of the remaining room, so that the values
 * after a long one have room too.
 */
import { ANY_MEMBER, type Cut } from '../protocol/cli.ts';
import { Byte, isClosing, isOpening, isScalar, isSpace, JsonCopy } from './json-copy.ts';

const MAX_DEPTH = 500;
/** Down to this level, values share the room of their object or array. */
const SHARING_LEVELS = 3;
/** An object or array with less room takes no more members. */
const MIN_ROOM = 64;

const MAX_KEY_BYTES = 1024;
const MAX_SCALAR_BYTES = 400;
/** How many members of a line are named as cut. */
const MAX_NAMED = 100;

/** An open object or array. */
interface Frame {
  readonly isObject: boolean;
  /** The length of the copy at which it is full. */
  readonly limit: number;
  /** The length of the copy before the current member and its comma. */
  memberAt: number;
  seen: number;
  kept: number;
}

type Expected = 'value' | 'key' | 'colon' | 'comma' | 'end' | 'nothing';

export class JsonShortener {
  readonly #maxBytes: number;
  readonly #copy: JsonCopy;
  readonly #cut = new Set<string>();
  readonly #frames: Frame[] = [];
  #mode: 'structure' | 'text' | 'scalar' | 'skip' = 'structure';
  #expected: Expected = 'value';
  #isKey = false;
  #scalarAt = 0;
  /** The line begins with a text: it may be one line of a document, `"key": value,`. */
  #isFragment = false;
  /** Start and end of the current member's name in the copy, on the top level. */
  #rootKey: readonly [number, number] = [0, 0];
  /** The current member is left out. */
  #drops = false;
  /** Open brackets in the part that is left out. */
  #skipDepth = 0;
  /** All remaining members of the object or array are left out. */
  #skipsRest = false;

  /**
   * @param maxBytes of the copy, without its closing brackets
   * @param maxTextBytes a text that is cut keeps more than this much UTF-8, as far as there is room
   */
  constructor(maxBytes: number, maxTextBytes: number) {
    this.#maxBytes = maxBytes;
    this.#copy = new JsonCopy(maxTextBytes);
  }

  /** Takes the next bytes of the line. Returns false when the line is not JSON. */
  write(bytes: Buffer, start: number, end: number): boolean {
    let at = start;
    while (at >= 0 && at < end) {
      if (this.#mode === 'skip') at = this.#readSkipped(bytes, at, end);
      else if (this.#mode === 'text') at = this.#readText(bytes, at, end);
      else at = this.#readByte(bytes[at] ?? 0) ? at + 1 : -1;
    }
    return at >= 0;
  }

  /** Call it at the end of the line. Returns null when the JSON is not complete. */
  end(): { readonly line: string; readonly cut: Cut } | null {
    if (this.#mode === 'scalar') this.#endValue();
    if (this.#expected !== 'end' && this.#expected !== 'nothing') return null;
    if (this.#mode !== 'structure') return null;
    return { line: this.#copy.slice(0, this.#copy.length), cut: this.#cut };
  }

  #readByte(byte: number): boolean {
    if (this.#mode === 'scalar') {
      if (isScalar(byte)) {
        this.#readScalar(byte);
        return true;
      }
      this.#endValue();
    }
    return isSpace(byte) || this.#readStructure(byte);
  }

  #readStructure(byte: number): boolean {
    const frame = this.#frames.at(-1);
    switch (this.#expected) {
      case 'value':
        if (byte === Byte.closeArray && frame?.seen === 0) return this.#close(byte);
        return this.#beginValue(byte, frame);
      case 'key':
        if (byte === Byte.closeObject && frame?.seen === 0) return this.#close(byte);
        return frame !== undefined && byte === Byte.quote && this.#beginKey(frame);
      case 'colon':
        this.#expected = 'value';
        if (!this.#drops) this.#copy.put(Byte.colon);
        return byte === Byte.colon;
      case 'comma':
        if (byte !== Byte.comma) return this.#close(byte);
        this.#expected = frame?.isObject === true ? 'key' : 'value';
        return true;
      case 'end':
        return this.#goesOn(byte);
      case 'nothing':
        return false;
    }
  }

  /** Reads the byte after the line's first text: a fragment of a document may go on. */
  #goesOn(byte: number): boolean {
    if (!this.#isFragment || (byte !== Byte.comma && byte !== Byte.colon)) return false;
    const isKey = byte === Byte.colon;
    if (isKey && (this.#rootKey[1] > 0 || this.#cut.size > 0)) return false;
    if (isKey) this.#rootKey = [1, this.#copy.length - 1];
    this.#expected = isKey ? 'value' : 'nothing';
    this.#copy.put(byte);
    return true;
  }

  #beginKey(frame: Frame): boolean {
    if (!this.#beginMember(frame, Byte.quote)) return true;
    this.#isKey = true;
    this.#beginText(this.#copy.length + MAX_KEY_BYTES);
    return true;
  }

  #beginValue(byte: number, frame: Frame | undefined): boolean {
    if (frame?.isObject === false && !this.#beginMember(frame, byte)) return true;
    const limit = frame?.limit ?? this.#maxBytes;

    if (byte === Byte.quote) {
      this.#isFragment ||= frame === undefined && this.#copy.length === 0;
      this.#beginText(halfOfRoom(limit, this.#copy.length));
      return true;
    }
    if (isOpening(byte)) {
      this.#beginNested(byte, limit);
      return true;
    }
    if (frame === undefined || !isScalar(byte)) return false;
    this.#mode = 'scalar';
    this.#scalarAt = this.#copy.length;
    this.#readScalar(byte);
    return true;
  }

  #beginNested(byte: number, limit: number): void {
    const level = this.#frames.length;
    if (level >= MAX_DEPTH) this.#drop();
    if (this.#drops) {
      this.#mode = 'skip';
      this.#skipDepth = 1;
      return;
    }
    const isObject = byte === Byte.openObject;
    this.#copy.put(byte);
    this.#frames.push(newFrame(isObject, level, limit, this.#copy.length));
    this.#expected = isObject ? 'key' : 'value';
  }

  /**
   * False: the object or array is full. Skips this member, which begins with `byte`, and the rest.
   */
  #beginMember(frame: Frame, byte: number): boolean {
    frame.memberAt = this.#copy.length;
    frame.seen += 1;
    if (!isFull(frame, this.#copy.length)) {
      if (frame.kept > 0) this.#copy.put(Byte.comma);
      return true;
    }
    if (this.#frames.length === 1) this.#cut.add(ANY_MEMBER);
    else this.#noteCut();
    this.#skipsRest = true;
    this.#skipDepth = isOpening(byte) ? 2 : 1;
    if (byte === Byte.quote) this.#beginText(null);
    else this.#mode = 'skip';
    return false;
  }

  #drop(): void {
    this.#noteCut();
    this.#copy.shrink(this.#frames.at(-1)?.memberAt ?? 0);
    this.#drops = true;
  }

  #noteCut(): void {
    const [root] = this.#frames;
    const isElement = root?.isObject === false && !this.#isFragment;
    const name = isElement ? String(root.seen - 1) : this.#copy.slice(...this.#rootKey);
    this.#cut.add(this.#cut.size < MAX_NAMED ? name : ANY_MEMBER);
  }

  #close(byte: number): boolean {
    const closing = this.#frames.pop()?.isObject === true ? Byte.closeObject : Byte.closeArray;
    this.#copy.put(closing);
    this.#endValue();
    return byte === closing;
  }

  #endValue(): void {
    const frame = this.#frames.at(-1);
    this.#mode = 'structure';
    this.#expected = frame === undefined ? 'end' : 'comma';
    if (frame !== undefined && !this.#drops) frame.kept += 1;
    this.#drops = false;
  }

  #readSkipped(bytes: Buffer, start: number, end: number): number {
    for (let at = start; at < end; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte === Byte.quote) {
        this.#beginText(null);
        return at + 1;
      }
      if (isOpening(byte)) this.#skipDepth += 1;
      else if (isClosing(byte)) this.#skipDepth -= 1;
      if (this.#skipDepth > 0) continue;
      if (this.#skipsRest) this.#close(byte);
      else this.#endValue();
      this.#skipsRest = false;
      return at + 1;
    }
    return end;
  }

  #readScalar(byte: number): void {
    if (this.#drops) return;
    if (this.#copy.length - this.#scalarAt >= MAX_SCALAR_BYTES) this.#drop();
    else this.#copy.put(byte);
  }

  #beginText(limit: number | null): void {
    this.#mode = 'text';
    this.#copy.beginText(this.#drops ? null : limit);
  }

  #readText(bytes: Buffer, start: number, end: number): number {
    const at = this.#copy.readText(bytes, start, end);
    if (!this.#copy.textEnded) return at;
    if (this.#skipDepth > 0) this.#mode = 'skip';
    else if (this.#isKey) this.#endKey();
    else {
      if (this.#copy.textWasCut) this.#noteCut();
      this.#endValue();
    }
    return at;
  }

  #endKey(): void {
    this.#isKey = false;
    this.#mode = 'structure';
    this.#expected = 'colon';
    const [frame] = this.#frames;
    if (this.#frames.length === 1 && frame !== undefined && !this.#isFragment) {
      this.#rootKey = [frame.memberAt + (frame.kept > 0 ? 2 : 1), this.#copy.length - 1];
    }
    if (this.#copy.textWasCut) this.#drop();
  }
}

/** The length of the copy at which half of the room is used. */
const halfOfRoom = (limit: number, length: number): number => length + Math.floor((limit - length) / 2);

/** @param level of the new object or array. 0: it is the line itself. */
const newFrame = (isObject: boolean, level: number, limit: number, length: number): Frame => ({
  isObject,
  limit: level > 0 && level <= SHARING_LEVELS ? halfOfRoom(limit, length) : limit,
  memberAt: length,
  seen: 0,
  kept: 0,
});

const isFull = ({ limit }: Frame, length: number): boolean => limit - length < MIN_ROOM;
