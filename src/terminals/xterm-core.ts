/**
 * The parts of xterm's terminal that its interface does not show, and that a copy of its state
 * needs. tests/unit/terminals/screen.test.ts fails when a release of xterm changes them.
 */
import type { IBufferCell, Terminal } from '@xterm/headless';

/** Colours and attributes, as numbers that are equal when these are. */
export interface Attributes
  extends Pick<
    IBufferCell,
    | ('isBold' | 'isDim' | 'isItalic' | 'isBlink' | 'isInverse' | 'isInvisible' | 'isStrikethrough')
    | ('isOverline' | 'getFgColor' | 'getBgColor' | 'isFgRGB' | 'isBgRGB' | 'isFgPalette' | 'isBgPalette')
  > {
  readonly fg: number;
  readonly bg: number;
  /** Counts only with {@link EXTENDED}. A link is an underline, too. */
  readonly extended: { readonly urlId: number };
  /** 0: none, 1: single, … as in `CSI 4:n m`. */
  getUnderlineStyle(): number;
  getUnderlineColor(): number;
  isUnderlineColorRGB(): boolean;
  isUnderlineColorPalette(): boolean;
}

export interface CoreBuffer {
  readonly savedX: number;
  /** Counted from the first line of the buffer. */
  readonly savedY: number;
  readonly savedCurAttrData: Attributes;
  readonly ybase: number;
  readonly scrollTop: number;
  readonly scrollBottom: number;
  readonly tabs: Readonly<Record<number, boolean | undefined>>;
}

export interface Core {
  /** Its methods write at once; `write` of the interface waits for a timer. */
  readonly _writeBuffer: { writeSync(data: Uint8Array): void; _isSyncWriting: boolean };
  readonly _inputHandler: {
    readonly _curAttrData: Attributes;
    /** `currentState` 0: no sequence is under way. `precedingJoinState` 0: no character before. */
    readonly _parser: { readonly currentState: number; readonly precedingJoinState: number; reset(): void };
  };
  readonly buffers: { readonly normal: CoreBuffer; readonly alt: CoreBuffer };
  readonly coreService: {
    readonly isCursorHidden: boolean;
    readonly decPrivateModes: {
      readonly cursorStyle: 'block' | 'underline' | 'bar' | undefined;
      readonly cursorBlink: boolean | undefined;
    };
  };
  readonly _oscLinkService: { getLinkData(id: number): { readonly uri: string } | undefined };
  readonly coreMouseService: { readonly activeEncoding: string };
  readonly _charsetService: {
    readonly glevel: number;
    readonly _charsets: readonly (Readonly<Record<string, string>> | undefined)[];
  };
}

/** The bit of `Attributes.fg` for an underline that is no link. */
export const UNDERLINED = 0x10000000;

/** The bit of `Attributes.bg` for attributes in `extended`. */
const EXTENDED = 0x10000000;

/** Whether it has more than `fg` and `bg` say. */
export const isExtended = ({ bg }: Pick<Attributes, 'bg'>): boolean => (bg & EXTENDED) !== 0;

/** The number of the link; 0: none. */
export const linkOf = (of: Attributes): number => (isExtended(of) ? of.extended.urlId : 0);

/** `as`: xterm declares none of it. */
export const coreOf = (terminal: Terminal): Core => (terminal as unknown as { _core: Core })._core;

/** `as`: a cell of a buffer is made of its attributes. */
export const attributesOf = (cell: IBufferCell): Attributes => cell as unknown as Attributes;
